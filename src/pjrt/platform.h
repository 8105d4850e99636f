/* platform.h: what each kind of plugin wants of its surroundings: environment, libraries, options of its client. */
#ifndef PJRT_PLATFORM_H
#define PJRT_PLATFORM_H
#include "client.h"
#include "plugin.h"

/* Environment variables that were set for a client and are put back when it closes. */
enum { SETTINGS = 4, CREATE_OPTIONS = 8 };
typedef struct PluginSetting {
    struct { char name[40]; char *old; } variable[SETTINGS]; /* old: NULL when it was not set */
    int count;
    char *folder; /* temporary files of the plugin; removed at the end if empty */
} PluginSetting;

/* Before the plugin is loaded: quiet logs, libraries it needs, checks that it would hang or abort without. */
bool platform_before_load(PluginSetting *setting, const PluginFile *file, const PjrtOptions *options, Err *err);
/* After it is loaded, before its client is made: what depends on the version. */
bool platform_before_client(PluginSetting *setting, const Plugin *plugin, Err *err);
/* The options of its client; returns how many. Lists in them stay good until the next call. */
int platform_options(PluginKind kind, const PjrtOptions *options, PjrtValue out[CREATE_OPTIONS]);
/* After its client is gone. */
void platform_restore(PluginSetting *setting);
#endif
