#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define MOST_ROWS 32
#define HELP (MOST_ROWS + 1) /* what getopt_long returns for --help */

static void usage(const struct option_table *table)
{
    int widest = 0;

    for (size_t i = 0; i < table->num_rows; i++) {
        int len = (int)strlen(table->rows[i].name);

        widest = len > widest ? len : widest;
    }
    puts(table->synopsis);
    for (size_t i = 0; i < table->num_rows; i++) {
        const char *line = table->rows[i].help;
        size_t len = strcspn(line, "\n");

        printf("  --%-*s  %.*s\n", widest, table->rows[i].name, (int)len, line);
        while (line[len] != '\0') {
            line += len + 1;
            len = strcspn(line, "\n");
            printf("  %*s  %.*s\n", widest + 2, "", (int)len, line);
        }
    }
    if (table->epilogue != NULL) {
        printf("\n%s", table->epilogue);
    }
}

static bool refused(const struct option_table *table)
{
    fprintf(stderr, "%s: see %s --help\n", table->who, table->who);
    return false;
}

bool options_incomplete(const struct option_table *table, const char *what)
{
    fprintf(stderr, "%s: %s\n", table->who, what);
    return refused(table);
}

static bool row_read(const struct option_table *table, const struct option_row *row, char *value)
{
    char *given = value == NULL ? NULL : strdup(value); /* reading may cut it in pieces */
    const char *wrong = row->read(row->into, value);

    if (wrong != NULL) {
        fprintf(stderr, "%s: --%s '%s' %s\n", table->who, row->name, given == NULL ? "" : given, wrong);
    }
    free(given);
    return wrong == NULL;
}

bool options_parse(const struct option_table *table, int argc, char **argv, int *out_status)
{
    struct option known[MOST_ROWS + 2] = { { 0 } };
    int option;

    for (size_t i = 0; i < table->num_rows && i < MOST_ROWS; i++) {
        bool flag = table->rows[i].read == option_flag;

        known[i] = (struct option){ table->rows[i].name, flag ? no_argument : required_argument, NULL, (int)i + 1 };
    }
    known[table->num_rows] = (struct option){ "help", no_argument, NULL, HELP };
    *out_status = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == HELP) {
            usage(table);
            *out_status = 0;
            return false;
        }
        if (option == '?') {
            return refused(table);
        }
        if (!row_read(table, &table->rows[option - 1], optarg)) {
            return false;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "%s: '%s' is no option\n", table->who, argv[optind]);
        return refused(table);
    }
    return true;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

const char *option_flag(void *into_bool, char *value)
{
    (void)value;
    *(bool *)into_bool = true;
    return NULL;
}

const char *option_text(void *into_pointer, char *value)
{
    *(const char **)into_pointer = value;
    return NULL;
}

const char *option_count(void *into_unsigned, char *value)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (value[0] == '-' || *end != '\0' || number < 1 || number > 1000000000) {
        return "is no number of connections";
    }
    *(unsigned *)into_unsigned = (unsigned)number;
    return NULL;
}

const char *option_address(void *into_address, char *value)
{
    struct address *address = into_address;

    return split_address(value, &address->host, &address->port) ? NULL : "is not HOST:PORT";
}

const char *option_tls(void *into_demands, char *value)
{
    return tls_version(into_demands, value) ? NULL : "is neither 1.2, 1.3 nor any";
}

const char *option_alpn(void *into_protocols, char *value)
{
    struct protocols *protocols = into_protocols;

    free(protocols->names);
    protocols->names = alpn_list(value, &protocols->len);
    return protocols->names != NULL ? NULL : "is no list of protocols";
}
