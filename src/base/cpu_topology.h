/* cpu_topology.h: which CPUs are threads of one core, and at which memory each one sits. Read from the text files that
 * Linux shows (Documentation/ABI/stable/sysfs-devices-system-cpu and -node), so that no library is needed. */
#ifndef CPU_TOPOLOGY_H
#define CPU_TOPOLOGY_H
#include "base.h"

enum { MAX_CPUS = 1024 };

typedef struct CpuPlace {
    int cpu;     /* its number                                                            */
    int node;    /* of memory; 0 where the system does not say                            */
    int sibling; /* usable threads of the same core with a lower number: 0 on most        */
} CpuPlace;

/* The usable CPUs among 0 .. MAX_CPUS - 1 in the order in which workers take them: first one thread of every core, node
 * after node, then the second threads. `root` stands for /sys/devices/system. Returns how many, at most MAX_CPUS. */
int cpu_order(const char *root, const bool usable[MAX_CPUS], CpuPlace out[MAX_CPUS]);
/* The same for this process. An engine that pins its caller remembers what the caller might use before. The variable
 * QWENMESH_SYS names another root, for tests. */
int cpu_places(CpuPlace out[MAX_CPUS]);
int cpu_nodes(const CpuPlace *places, int count); /* different nodes among them */

/* Binds the calling thread to the CPUs of `count` places. False where the system refuses. */
bool cpu_bind(const CpuPlace *places, int count);
/* The same for a thread that goes on with other work: cpu_places there still tells what was usable before, until
 * cpu_release gives it back. */
bool cpu_keep(const CpuPlace *place);
void cpu_release(void);
/* Reads "0-3,8,10-11" into set[MAX_CPUS]; false when it is no such list. Numbers past the end are left out. */
bool cpu_list(const char *text, bool set[MAX_CPUS]);
#endif
