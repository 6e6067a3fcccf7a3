/* uthash, with our answer to "out of memory" (memory.h) in place of its exit(-1). Include this, never <uthash.h>. */
#ifndef CONFIG_BASE_MAP_H
#define CONFIG_BASE_MAP_H

#include "config/base/memory.h"

#define uthash_fatal(message) mem_exhausted()
#include <uthash.h>

#endif
