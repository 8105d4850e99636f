/* mesh.h: the mesh of devices, as it is written. */
#ifndef MESH_H
#define MESH_H
#include "../base/base.h"

enum { MAX_DEVICES = 1024 };

/* "2x4", "8", "dp2,tp4". Both axes of XxY are tensor-parallel. */
typedef struct Mesh { int rank; int dim[2]; int dp, tp; char text[32]; } Mesh;
bool mesh_parse(Mesh *mesh, const char *text, Err *err); /* NULL: one device */
#endif
