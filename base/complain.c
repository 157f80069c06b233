#include "base/complain.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/stderr.h"
#include "base/text.h"

#define DAEMON_ERROR 27 /* facility 3, severity 3 */

static void to_stderr(const char *line, size_t len)
{
    if (stderr_is_ours()) {
        (void)!write(STDERR_FILENO, line, len);
    }
}

static void to_syslog(const char *path, const char *line, size_t len)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(to.sun_path)) {
        return;
    }
    strcpy(to.sun_path, path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)sendto(fd, line, len, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
        close(fd);
    }
}

void complain(const char *socket_path, const char *text)
{
    char line[1400];
    struct text whole = TEXT_OVER(line);
    size_t head;

    text_printf(&whole, "<%d>", DAEMON_ERROR);
    head = whole.len;
    text_printf(&whole, "signet[%d]: %s", (int)getpid(), text);
    whole.len = text_clean(line);
    to_syslog(socket_path, line, whole.len);
    if (whole.len == sizeof(line) - 1) {
        whole.len--; /* room for the line's end */
    }
    line[whole.len++] = '\n';
    to_stderr(line + head, whole.len - head);
}
