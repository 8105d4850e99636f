/* cgroup.h: what the control groups of this process leave it of the machine's CPUs. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H
#include "base.h"

/* CPUs' worth of time that the groups of a process may use together, by the tightest quota on the way from its group to
 * the root: cpu.max of version 2, cpu.cfs_quota_us and cpu.cfs_period_us of version 1 (Linux,
 * Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst). 0: no quota, or none that can be read. `groups`
 * stands for /proc/self/cgroup, `root` for /sys/fs/cgroup. */
double cgroup_cpus(const char *groups, const char *root);

/* Threads that can work at the same time for long: the cores this process may use (cpu_cores_usable), or the next whole
 * number above its quota where that is less. More threads would be stopped together as soon as the quota is spent. */
int cgroup_threads(void);
#endif
