/* tool_stream.h: the text of an answer, as it is generated, made to what a client is told: content, reasoning, calls of
 * tools. Calls have the form of Qwen2.5,
 *
 *     <tool_call>
 *     {"name": "NAME", "arguments": {...}}
 *     </tool_call>
 *
 * and their arguments are handed on byte by byte as the model wrote them. However the text is cut into pieces, the
 * events put together are the same. Held back is only what may be a tag's beginning, space beside one, and a call until
 * its name is known: at most MAX_CALL_HEAD bytes. */
#ifndef TOOL_STREAM_H
#define TOOL_STREAM_H
#include "../base/base.h"

enum { MAX_CALL_HEAD = 1024 };

typedef enum ToolEventKind {
    TOOL_CONTENT,   /* text                                                    */
    TOOL_REASONING, /* text between <think> and </think>                       */
    TOOL_BEGIN,     /* a call: text is the name                                */
    TOOL_ARGUMENTS, /* text: more of its arguments                             */
    TOOL_END        /* its arguments are whole; a call that was cut off has no such event */
} ToolEventKind;
typedef struct ToolEvent {
    ToolEventKind kind;
    int call;         /* the number of the call, from 0 */
    const char *text; /* [bytes], no NUL after it       */
    size_t bytes;
} ToolEvent;
/* False: enough. */
typedef bool ToolTell(void *owner, const ToolEvent *event);

typedef struct ToolStream {
    bool tools, thinks, cut_off; /* cut_off: a call had begun and did not come to its end */
    int calls;                   /* that have begun */
    ToolTell *tell;
    void *owner;
    int state, matched;          /* where it is; bytes of a tag or a word that are there */
    int depth;                   /* of brackets in arguments */
    bool in_string, escaped, stopped;
    ToolEventKind kind;          /* of the text at hand */
    Text held;                   /* not told yet */
    size_t name_start, name_end; /* in it, of the call under way */
} ToolStream;

/* tools: calls are looked for. `thinking`: <think> at the beginning is looked for; open: the prompt has it already. */
void tool_stream_start(ToolStream *s, bool tools, bool thinking, bool open, ToolTell *tell, void *owner);
/* False: the client has enough, or memory ended (s->held.failed). */
bool tool_stream_push(ToolStream *s, const char *text, size_t bytes);
/* What was held back: a call that never was is content. */
bool tool_stream_end(ToolStream *s);
void tool_stream_free(ToolStream *s);
#endif
