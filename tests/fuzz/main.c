/* What gives a fuzz target its seeds where there is no libFuzzer: each file named, once. */
#include "fuzz.h"

/* The file's bytes in memory of just that size. False if it can't be read. */
static bool read_file(uint8_t **out_data, size_t *out_size, const char *path)
{
    FILE *file = fopen(path, "rb");
    long size;
    bool good;

    if (file == NULL) {
        return false;
    }
    good = fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0;
    if (good) {
        *out_size = (size_t)size;
        *out_data = malloc(*out_size > 0 ? *out_size : 1);
        good = *out_data != NULL && fread(*out_data, 1, *out_size, file) == *out_size;
    }
    fclose(file);
    return good;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        SCOPED(scoped_free) uint8_t *data = NULL;
        size_t size = 0;

        printf("%s\n", argv[i]); /* the last name that is seen is that of the culprit */
        fflush(stdout);
        if (!read_file(&data, &size, argv[i]) || LLVMFuzzerTestOneInput(data, size) != 0) {
            return 1;
        }
    }
    return argc == 1;
}
