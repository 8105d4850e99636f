/* cpu_topology.c: see cpu_topology.h. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "cpu_topology.h"

bool cpu_list(const char *text, bool set[MAX_CPUS]) {
    memset(set, 0, MAX_CPUS * sizeof *set);
    while (*text && *text != '\n') {
        char *end;
        if (*text < '0' || *text > '9') return false;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-') {
            if (end[1] < '0' || end[1] > '9') return false;
            last = strtoul(end + 1, &end, 10);
        }
        if (last < first) return false;
        for (unsigned long i = first; i <= last && i < MAX_CPUS; i++) set[i] = true;
        if (*end != ',' && *end != '\n' && *end) return false;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* A list of CPUs from a file of the system; false when there is none. */
static bool read_list(const char *root, const char *name, bool set[MAX_CPUS]) {
    char path[512], line[8192];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "re");
    bool ok = file && fgets(line, sizeof line, file) && cpu_list(line, set);
    if (file) fclose(file);
    return ok;
}

static void read_nodes(const char *root, int node_of[MAX_CPUS]) {
    char path[512];
    bool set[MAX_CPUS];
    snprintf(path, sizeof path, "%s/node", root);
    DIR *folder = opendir(path);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        int64_t node;
        char name[300];
        if (strncmp(e->d_name, "node", 4) || !parse_int(e->d_name + 4, 0, 1 << 20, &node)) continue;
        snprintf(name, sizeof name, "node/%s/cpulist", e->d_name);
        if (!read_list(root, name, set)) continue;
        for (int i = 0; i < MAX_CPUS; i++)
            if (set[i]) node_of[i] = (int)node;
    }
    if (folder) closedir(folder);
}

static int compare_places(const void *left, const void *right) {
    const CpuPlace *a = left, *b = right;
    if (a->sibling != b->sibling) return a->sibling - b->sibling;
    if (a->node != b->node) return a->node - b->node;
    return a->cpu - b->cpu;
}

int cpu_order(const char *root, const bool usable[MAX_CPUS], CpuPlace out[MAX_CPUS]) {
    int node_of[MAX_CPUS] = {0}, count = 0;
    bool same_core[MAX_CPUS];
    read_nodes(root, node_of);
    for (int i = 0; i < MAX_CPUS; i++) {
        char name[64];
        if (!usable[i]) continue;
        out[count] = (CpuPlace){.cpu = i, .node = node_of[i]};
        snprintf(name, sizeof name, "cpu/cpu%d/topology/thread_siblings_list", i);
        if (read_list(root, name, same_core))
            for (int j = 0; j < i; j++) out[count].sibling += same_core[j] && usable[j];
        count++;
    }
    qsort(out, (size_t)count, sizeof *out, compare_places);
    return count;
}

int cpu_nodes(const CpuPlace *places, int count) {
    int nodes = 0;
    for (int i = 0; i < count; i++) {
        bool seen = false;
        for (int j = 0; j < i; j++) seen |= places[j].node == places[i].node;
        nodes += !seen;
    }
    return nodes;
}

/* ---- This process ------------------------------------------------------------------------------------------------ */

static _Thread_local cpu_set_t before;
static _Thread_local int keepers; /* engines that keep this thread where it is */

int cpu_places(CpuPlace out[MAX_CPUS]) {
    cpu_set_t allowed;
    bool usable[MAX_CPUS] = {0};
    const char *root = getenv("QWENMESH_SYS");
    if (keepers) allowed = before;
    else if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) CPU_ZERO(&allowed);
    for (size_t i = 0; i < MAX_CPUS && i < CPU_SETSIZE; i++) usable[i] = CPU_ISSET(i, &allowed);
    int count = cpu_order(root ? root : "/sys/devices/system", usable, out);
    if (count == 0) out[count++] = (CpuPlace){0};
    return count;
}

bool cpu_bind(const CpuPlace *places, int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) CPU_SET((size_t)places[i].cpu, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

bool cpu_keep(const CpuPlace *place) {
    cpu_set_t allowed;
    if (!keepers && sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
    if (!cpu_bind(place, 1)) return false;
    if (!keepers++) before = allowed;
    return true;
}

void cpu_release(void) {
    if (keepers && !--keepers) pthread_setaffinity_np(pthread_self(), sizeof before, &before);
}
