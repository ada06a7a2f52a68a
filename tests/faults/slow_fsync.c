/* Preloaded into a server, makes each of its fsyncs take SLOW_FSYNC_MS milliseconds longer, as a busy disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

typedef int (*sync_call)(int);

static int delayed(const char *name, int descriptor)
{
    const char *text = getenv("SLOW_FSYNC_MS");
    long ms = text == NULL ? 0 : atol(text);
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0) {
        /* interrupted by a signal: sleep the rest */
    }
    sync_call real = (sync_call)dlsym(RTLD_NEXT, name);
    return real(descriptor);
}

int fsync(int descriptor) { return delayed("fsync", descriptor); }
int fdatasync(int descriptor) { return delayed("fdatasync", descriptor); }
