/* mesh.c: meshes read. */
#include <ctype.h>
#include <string.h>
#include "mesh.h"

/* A number 1..MAX_DEVICES at *p, moved past it; 0 if there is none. */
static int mesh_number(const char **p) {
    int64_t n = 0;
    if (!isdigit((unsigned char)**p)) return 0;
    while (isdigit((unsigned char)**p) && n <= MAX_DEVICES) n = n * 10 + (*(*p)++ - '0');
    return n <= MAX_DEVICES ? (int)n : 0;
}

bool mesh_parse(Mesh *mesh, const char *text, Err *err) {
    *mesh = (Mesh){.rank = 1, .dim = {1, 1}, .dp = 1, .tp = 1};
    const char *p = text ? text : "1x1";
    snprintf(mesh->text, sizeof mesh->text, "%s", p);
    bool ok;
    if (!strncmp(p, "dp", 2) || !strncmp(p, "tp", 2)) {
        mesh->rank = 2;
        bool dp = false, tp = false;
        do {
            bool is_dp = !strncmp(p, "dp", 2);
            ok = (is_dp && !dp) || (!strncmp(p, "tp", 2) && !tp);
            if (!ok) break;
            p += 2;
            int n = mesh_number(&p);
            *(is_dp ? &mesh->dp : &mesh->tp) = n;
            *(is_dp ? &dp : &tp) = true;
            ok = n > 0;
        } while (ok && *p == ',' && p++);
        mesh->dim[0] = mesh->dp;
        mesh->dim[1] = mesh->tp;
        ok = ok && !*p;
    } else {
        mesh->dim[0] = mesh_number(&p);
        if (*p == 'x') {
            p++;
            mesh->rank = 2;
            mesh->dim[1] = mesh_number(&p);
        }
        mesh->tp = mesh->dim[0] * mesh->dim[1];
        ok = !*p && mesh->tp > 0;
    }
    if (ok && strlen(text ? text : "") < sizeof mesh->text && (int64_t)mesh->dp * mesh->tp <= MAX_DEVICES) return true;
    return err_as(err, QM_USAGE,
                  "bad mesh '%.40s': expected XxY, N or dpA,tpB with 1 to %d devices, as in 2x4, 8 or dp2,tp4",
                  text, MAX_DEVICES);
}
