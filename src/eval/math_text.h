/* math_text.h: numbers in words, and the value of simple formulas. */
#ifndef MATH_TEXT_H
#define MATH_TEXT_H
#include "../base/base.h"

/* The Python package word2number 1.1: a text with number words becomes that number in digits ("eighteen dollars" -> 18,
 * a text of digits alone loses leading zeros); any other stays. */
void number_words(Text *text);

/* The value of numbers, + - * / ^, brackets, \frac, \sqrt, \times, \cdot and \div; false for all else. */
bool arithmetic(const Text *text, double *value);
#endif
