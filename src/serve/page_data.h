/* page_data.h: the chat page as build/.../page_data.c has it, made of src/serve/page by embed.sh. */
#ifndef PAGE_DATA_H
#define PAGE_DATA_H
#include <stddef.h>

extern const unsigned char page_html[], page_gzip[]; /* the file, and its gzip form */
extern const size_t page_html_bytes, page_gzip_bytes;
extern const char page_hash[];                       /* of the file: the beginning of its SHA-256, in hexadecimals */
extern const char page_style_hash[], page_script_hash[]; /* "sha256-..." of its style and script element */
#endif
