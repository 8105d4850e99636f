/* mesh_report.h: the same questions on every mesh: the same answers, how fast, and what each mesh costs. */
#ifndef MESH_REPORT_H
#define MESH_REPORT_H
#include "gsm8k_run.h"

typedef struct MeshReport {
    QmEngineOptions engine;  /* its mesh is not used; context 0: what the questions need */
    Gsm8kOptions gsm8k;
    const char *meshes;      /* "1x1,2x4,...": the first is what the others are held against */
    const char *html;        /* or NULL */
    const char *chat_template; /* as qm_tokenizer_set_chat takes it, or NULL: the model's own */
    const char *const *chat_arguments; /* as qm_tokenizer_set_chat_argument takes them */
    int chat_argument_count;
} MeshReport;

/* Prints a table as it goes, one process per mesh so that memory and start-up are each mesh's own. *same: every mesh
 * gave the bytes of the first. */
bool mesh_report(const MeshReport *m, FILE *out, bool *same, Err *err);
#endif
