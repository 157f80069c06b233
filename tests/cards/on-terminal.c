/* A person at a terminal of her own, who answers what a program asks there:
 *
 *     on-terminal PROMPT ANSWER COMMAND [ARGUMENT...]
 *
 * Each time the program's output has PROMPT at its end, ANSWER is typed; "^D" and "^C" are the keys. What the program
 * writes to the terminal is copied to the standard output, which ends in a line "asked N times". The program's standard
 * input is the caller's. Before the first answer the shell runs $ON_PROMPT, if there is one. The exit status is the
 * program's, or 128 and the number of its signal. */
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST_S 120

static char seen[65536];
static size_t num_seen;

static void keep(const char *text, size_t len)
{
    if (len > sizeof(seen) - num_seen) {
        num_seen = 0;
    }
    memcpy(seen + num_seen, text, len);
    num_seen += len;
}

/* Is the program waiting for an answer? Only then is it read: what is typed before a prompt is thrown away. */
static int asks(const char *prompt)
{
    size_t len = strlen(prompt);

    while (num_seen > 0 && seen[num_seen - 1] == ' ') {
        num_seen--;
    }
    return num_seen >= len && memcmp(seen + num_seen - len, prompt, len) == 0;
}

static void type(int terminal, const char *answer)
{
    char key = strcmp(answer, "^D") == 0 ? 4 : strcmp(answer, "^C") == 0 ? 3 : '\0';
    char line[256];
    int len = key != '\0' ? snprintf(line, sizeof(line), "%c", key) : snprintf(line, sizeof(line), "%s\n", answer);

    if (write(terminal, line, (size_t)len) != len) {
        perror("on-terminal");
        exit(99);
    }
}

/* What happens while the person looks for her PIN. */
static void meanwhile(void)
{
    const char *command = getenv("ON_PROMPT");

    if (command != NULL && system(command) != 0) {
        fprintf(stderr, "on-terminal: %s failed\n", command);
        exit(99);
    }
}

static _Noreturn void become(char **command, int input)
{
    dup2(input, STDIN_FILENO);
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

int main(int argc, char **argv)
{
    int asked = 0;
    int status = 0;
    int terminal;
    int input = dup(STDIN_FILENO);
    pid_t child;

    if (argc < 4) {
        fprintf(stderr, "usage: on-terminal PROMPT ANSWER COMMAND [ARGUMENT...]\n");
        return 99;
    }
    alarm(LONGEST_S);
    child = forkpty(&terminal, NULL, NULL, NULL);
    if (child == -1) {
        perror("on-terminal: no terminal");
        return 99;
    }
    if (child == 0) {
        become(argv + 3, input);
    }
    for (;;) {
        char text[4096];
        ssize_t len = read(terminal, text, sizeof(text));

        if (len <= 0) { /* the last one who had it has gone */
            break;
        }
        fwrite(text, 1, (size_t)len, stdout);
        keep(text, (size_t)len);
        if (asks(argv[1])) {
            if (asked++ == 0) {
                meanwhile();
            }
            num_seen = 0;
            type(terminal, argv[2]);
        }
    }
    waitpid(child, &status, 0);
    printf("\nasked %d times\n", asked);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
