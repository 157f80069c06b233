/* signet: lists and prepares. The table of subcommands is its main. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static int help_main(int argc, char **argv);
static int version_main(int argc, char **argv);
static int settings_main(int argc, char **argv);

static const struct subcommand {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *what; /* NULL: not shown */
} subcommands[] = {
    { "list", list_main, "shows modules, tokens, keys and certificates" },
    { "key-file", key_file_main, "writes the file by which programs load a key on a token" },
    { "help", help_main, "shows this" },
    { "version", version_main, "shows the version" },
    { "settings-man", settings_main, NULL }, /* the SETTINGS of signet(7), for the build */
};

static void usage(FILE *out)
{
    fputs("usage: signet SUBCOMMAND ...\n\n", out);
    for (size_t i = 0; i < COUNT_OF(subcommands); i++) {
        if (subcommands[i].what != NULL) {
            fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].what);
        }
    }
    fputs("\nsignet SUBCOMMAND --help says more.\n", out);
}

static int help_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    usage(stdout);
    return 0;
}

static int version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("signet " PACKAGE_VERSION);
    return 0;
}

static int settings_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    prov_config_print_man(stdout);
    return 0;
}

/* What a subcommand printed has to have arrived. */
static int finish(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        tell("standard output: %s", strerror(errno));
        return 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    char title[64];

    if (strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0) {
        name += 2;
    } else if (strcmp(name, "-h") == 0) {
        name = "help";
    }
    for (size_t i = 0; i < COUNT_OF(subcommands); i++) {
        if (strcmp(subcommands[i].name, name) == 0) {
            (void)snprintf(title, sizeof(title), "signet %s", name);
            argv[1] = title; /* as which getopt complains */
            return finish(subcommands[i].main(argc - 1, argv + 1));
        }
    }
    if (argc > 1) {
        tell("there is no subcommand '%s'", argv[1]);
    }
    usage(stderr);
    return EXIT_USAGE;
}
