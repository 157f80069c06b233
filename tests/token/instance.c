#include "instance.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The line's value if it is the name's. */
static const char *value_of(char *line, const char *name)
{
    size_t len = strlen(name);

    line[strcspn(line, "\n")] = '\0';
    return strncmp(line, name, len) == 0 && line[len] == '=' ? line + len + 1 : NULL;
}

const char *instance_setting(const char *name)
{
    static const char here = 0;
    const char *found = NULL;
    char path[4096];
    char line[4096];
    Dl_info self;
    FILE *file;

    if (dladdr(&here, &self) == 0 || snprintf(path, sizeof(path), "%s.settings", self.dli_fname) >= (int)sizeof(path)) {
        return getenv(name);
    }
    file = fopen(path, "r");
    while (file != NULL && found == NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *value = value_of(line, name);

        found = value == NULL ? NULL : strdup(value);
    }
    if (file != NULL) {
        fclose(file);
    }
    return found != NULL ? found : getenv(name);
}
