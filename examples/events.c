#include "events.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define MOST_FDS 8

bool events_socket(int epoll, int fd, uint32_t events, void *who)
{
    struct epoll_event event = { .events = events | EPOLLONESHOT, .data = { .ptr = who } };

    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0 ||
           (errno == ENOENT && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* The descriptors belong to whoever makes the signature, who closes them once the connection has gone on. */
static bool events_async(int epoll, SSL *ssl, void *who)
{
    OSSL_ASYNC_FD fds[MOST_FDS];
    size_t count = 0;
    bool armed = false;

    if (SSL_get_all_async_fds(ssl, NULL, &count) != 1 || count > MOST_FDS ||
        SSL_get_all_async_fds(ssl, fds, &count) != 1) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        armed = events_socket(epoll, fds[i], EPOLLIN, who) || armed;
    }
    return armed;
}

bool events_arm(int epoll, SSL *ssl, int result, void *who)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return events_socket(epoll, SSL_get_fd(ssl), EPOLLIN, who);
    case SSL_ERROR_WANT_WRITE:
        return events_socket(epoll, SSL_get_fd(ssl), EPOLLOUT, who);
    case SSL_ERROR_WANT_ASYNC:
        return events_async(epoll, ssl, who);
    case SSL_ERROR_WANT_ASYNC_JOB: /* so many jobs are under way that there is none to spare: try again */
        return events_socket(epoll, SSL_get_fd(ssl), EPOLLOUT, who);
    default:
        return false;
    }
}

void events_more_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

double events_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
