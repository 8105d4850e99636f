/* cgroup.c: see cgroup.h. */
#include <string.h>
#include "cgroup.h"
#include "cpu.h"

enum { PATH_BYTES = 4096 };

static bool read_line(const char *folder, const char *name, char *line, int size) {
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return false;
    FILE *file = fopen(path, "re");
    bool ok = file && fgets(line, size, file);
    if (file) fclose(file);
    return ok;
}

/* CPUs that one group's files allow; 0: no limit. */
static double folder_cpus(const char *folder) {
    char quota[64], period[64];
    long long used, of;
    if (read_line(folder, "cpu.max", quota, sizeof quota)) {
        if (sscanf(quota, "%lld %lld", &used, &of) != 2) return 0; /* "max" */
    } else if (!read_line(folder, "cpu.cfs_quota_us", quota, sizeof quota) ||
               !read_line(folder, "cpu.cfs_period_us", period, sizeof period) || sscanf(quota, "%lld", &used) != 1 ||
               sscanf(period, "%lld", &of) != 1) {
        return 0;
    }
    return used > 0 && of > 0 ? (double)used / (double)of : 0;
}

/* The tightest quota from `folder` up to its first `root` characters. Shortens folder. */
static double way_cpus(char *folder, size_t root) {
    double least = 0;
    for (;;) {
        double cpus = folder_cpus(folder);
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
        char *end = strrchr(folder, '/');
        if (!end || (size_t)(end - folder) < root) return least;
        *end = 0;
    }
}

/* Whether "cpu" is one of a list of controllers, as in "cpu,cpuacct". */
static bool has_cpu(const char *controllers) {
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (!strncmp(at, "cpu", 3) && (at[3] == ',' || !at[3])) return true;
    }
    return false;
}

double cgroup_cpus(const char *groups, const char *root) {
    char line[PATH_BYTES], folder[2 * PATH_BYTES];
    double least = 0;
    FILE *file = fopen(groups, "re");
    while (file && fgets(line, sizeof line, file)) {
        /* "0::/user.slice" of version 2, "4:cpu,cpuacct:/docker/8f" of version 1. */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        controllers++;
        *path++ = 0;
        bool second = !*controllers;
        if (!second && !has_cpu(controllers)) continue;
        size_t base = strlen(root) + (second ? 0 : 1 + strlen(controllers));
        if (strstr(path, "..")) path = ""; /* outside of what this container sees */
        if (snprintf(folder, sizeof folder, "%s%s%s%s", root, second ? "" : "/", second ? "" : controllers, path) >=
            (int)sizeof folder)
            continue;
        double cpus = way_cpus(folder, base);
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
    }
    if (file) fclose(file);
    return least;
}

int cgroup_threads(void) {
    double cpus = cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    int cores = cpu_cores_usable();
    if (cpus <= 0 || cpus >= cores) return cores;
    int whole = (int)cpus;
    return whole < cpus ? whole + 1 : whole;
}
