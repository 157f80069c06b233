/* A line for the administrator, from a process that has no better way to be heard: to stderr and to syslog.
 *
 * It takes no lock of libc's and allocates nothing, so that the child of a threaded process may use it in its fork
 * handler: the line goes straight to the socket of syslog. Neither fails loudly. It is one line, whatever a token's
 * label holds. Nothing is written to a descriptor 2 that is a network connection, which some server's may be, or no
 * standard error any more (base/stderr.h). For everybody; owns nothing. */
#ifndef SIGNET_BASE_COMPLAIN_H
#define SIGNET_BASE_COMPLAIN_H

#define COMPLAIN_SOCKET "/dev/log"

/* complain writes "signet[PID]: TEXT". `socket_path` is COMPLAIN_SOCKET but for tests. */
void complain(const char *socket_path, const char *text);

#endif
