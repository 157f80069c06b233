#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "child.h"

#define STRANGER 65533

static char folder[] = "/tmp/signet-path-XXXXXX";
static char room[512];
static char resolved[PATH_MAX];

/* A name in the test's folder. */
static const char *in(const char *name)
{
    static char names[4][128];
    static unsigned next;

    next = (next + 1) % 4;
    snprintf(names[next], sizeof(names[next]), "%s/%s", folder, name);
    return names[next];
}

static void make_folder(const char *name, mode_t mode)
{
    assert_true(mkdir(in(name), 0700) == 0 && chmod(in(name), mode) == 0);
}

static void make_file(const char *name, mode_t mode)
{
    int fd = open(in(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0 && fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void make_link(const char *name, const char *target)
{
    assert_int_equal(symlink(target, in(name)), 0);
}

static const char *to(const char *path)
{
    struct text why = TEXT_OVER(room);

    return path_resolve(resolved, path, &why) ? resolved : NULL;
}

static void leads(const char *from, const char *expected)
{
    char name[128];

    snprintf(name, sizeof(name), "%s", in(expected));
    if (to(in(from)) == NULL) {
        fail_msg("%s: %s", from, room);
    }
    assert_string_equal(resolved, name);
}

static void refuses(const char *path, const char *reason)
{
    if (to(path) != NULL) {
        fail_msg("%s leads to %s", path, resolved);
    }
    if (strstr(room, reason) == NULL) {
        fail_msg("'%s' instead of '%s'", room, reason);
    }
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static bool is_root(void)
{
    return geteuid() == 0;
}

static void give(const char *name)
{
    assert_int_equal(lchown(in(name), STRANGER, STRANGER), 0);
}

TEST(a_path_without_links_is_what_it_is)
{
    make_folder("plain", 0755);
    make_file("plain/lib.so", 0644);
    leads("plain/lib.so", "plain/lib.so");
    leads("plain", "plain");
    leads("plain//./lib.so", "plain/lib.so");
    leads("plain/../plain/lib.so", "plain/lib.so");
    assert_string_equal(to("/"), "/");
    assert_string_equal(to("/../.."), "/");
    refuses(in("plain/lib.so/"), "Not a directory");
    refuses(in("plain/lib.so/x"), "Not a directory");
    refuses("plain/lib.so", "Invalid argument");
}

TEST(links_are_followed_as_the_kernel_does)
{
    make_folder("real", 0755);
    make_folder("real/deep", 0755);
    make_file("real/lib.so", 0644);
    make_link("one", "real");
    make_link("two", "./one/deep/..");
    make_link("three", in("two/lib.so"));
    leads("one/lib.so", "real/lib.so");
    leads("two/lib.so", "real/lib.so");
    leads("three", "real/lib.so");
    make_link("loop", "loop2");
    make_link("loop2", "loop");
    refuses(in("loop"), "Too many levels");
    make_link("real/up", "../../../../../../..");
    assert_string_equal(to(in("real/up")), "/");
}

TEST(what_is_not_there_is_good_where_only_we_can_make_it)
{
    make_folder("ours", 0755);
    make_folder("everybodys", 01777);
    leads("ours/later/lib.so", "ours/later/lib.so");
    refuses(in("ours/later/../../everybodys/lib.so"), "No such file");
    refuses(in("everybodys/lib.so"), "/everybodys/lib.so': No such file or directory, and others may make it");
    refuses(in("everybodys/later/lib.so"), "No such file");
    make_link("ours/dangling", in("everybodys/lib.so"));
    refuses(in("ours/dangling"), "No such file");
}

TEST(what_others_may_write_to_is_refused_by_name)
{
    make_folder("loose", 0757);
    make_file("loose/lib.so", 0644);
    refuses(in("loose/lib.so"), "/loose' may be written to by others (mode 0757)");
    assert_null(strstr(room, "lib.so"));
    make_file("loose.so", 0646);
    refuses(in("loose.so"), "/loose.so' may be written to by others (mode 0646)");
    make_folder("loose/inner", 0755);
    make_file("loose/inner/lib.so", 0644);
    refuses(in("loose/inner/lib.so"), "/loose' may be written to"); /* the folder can be moved away */
    make_link("to-loose", "loose/inner/lib.so");
    refuses(in("to-loose"), "/loose' may be written to");
    make_folder("loose/back", 0755);
    make_file("safe.so", 0644);
    make_link("loose/safe", in("safe.so"));
    refuses(in("loose/safe"), "/loose' may be written to"); /* the link can be moved away */
    refuses(in("loose/../safe.so"), "/loose' may be written to");
}

TEST(a_group_may_write_only_if_it_is_our_own_and_we_are_not_root)
{
    make_folder("group", 0775);
    make_file("group/lib.so", 0664);
    if (is_root()) {
        refuses(in("group/lib.so"), "/group' may be written to by others (mode 0775)");
    } else {
        leads("group/lib.so", "group/lib.so");
    }
}

TEST(in_a_folder_that_is_everybodys_what_is_ours_is_safe)
{
    make_folder("tmp", 01777);
    make_file("tmp/lib.so", 0644);
    make_link("tmp/link", "lib.so");
    leads("tmp/lib.so", "tmp/lib.so");
    leads("tmp/link", "tmp/lib.so");
    if (!is_root()) {
        NOT_HERE("what is a stranger's in it: only root makes that");
    }
    make_file("tmp/theirs.so", 0644);
    give("tmp/theirs.so");
    refuses(in("tmp/theirs.so"), "/tmp/theirs.so' belongs to user 65533");
    make_link("tmp/their-link", "lib.so");
    give("tmp/their-link");
    refuses(in("tmp/their-link"), "/tmp/their-link' belongs to user 65533");
    make_folder("tmp/theirs", 0755);
    make_file("tmp/theirs/lib.so", 0644);
    give("tmp/theirs");
    refuses(in("tmp/theirs/lib.so"), "/tmp/theirs' belongs to user 65533");
}

TEST(what_is_roots_inside_a_strangers_folder_is_refused)
{
    if (!is_root()) {
        NOT_HERE("only root makes a stranger's folder");
    }
    make_folder("stranger", 0755);
    make_folder("stranger/roots", 0755);
    make_file("stranger/roots/lib.so", 0644);
    make_link("stranger/link", in("stranger/roots/lib.so"));
    make_link("to-stranger", "stranger/roots/lib.so");
    give("stranger");
    refuses(in("stranger/roots/lib.so"), "/stranger' belongs to user 65533");
    refuses(in("stranger/link"), "/stranger' belongs to user 65533");
    refuses(in("to-stranger"), "/stranger' belongs to user 65533");
}

static int resolves_as_itself(void *arg)
{
    if (setgid(STRANGER) != 0 || setuid(STRANGER) != 0) {
        return 1;
    }
    if (to(arg) == NULL) {
        return 2;
    }
    return to(in("its-own.so")) != NULL ? 3 : 0; /* root's file that anybody may write to */
}

TEST(an_ordinary_user_takes_what_is_its_own_or_roots)
{
    if (!is_root()) {
        NOT_HERE("only root becomes another user");
    }
    make_folder("home", 0755);
    make_file("home/lib.so", 0664);
    make_file("its-own.so", 0666);
    give("home");
    give("home/lib.so");
    assert_int_equal(child_does(resolves_as_itself, (void *)in("home/lib.so")), 0);
    refuses(in("home/lib.so"), "belongs to user 65533"); /* and root does not */
}

/* A stranger changes, in its own folder and in a shared one, where links lead, as fast as it can. */
static pid_t swapper_start(void)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        if (setgid(STRANGER) != 0 || setuid(STRANGER) != 0) {
            child_exit(1);
        }
        for (unsigned i = 0;; i++) {
            (void)!symlink(i % 2 == 0 ? in("good") : in("evil"), in("swapped/new"));
            rename(in("swapped/new"), in("swapped/link"));
            (void)!symlink(i % 2 == 0 ? in("good") : in("evil"), in("shared/new"));
            rename(in("shared/new"), in("shared/link"));
        }
    }
    return pid;
}

TEST(a_link_that_is_swapped_meanwhile_never_leads_to_the_strangers_file)
{
    unsigned seen = 0;
    pid_t swapper;

    if (!is_root()) {
        NOT_HERE("only root has a stranger");
    }
    make_folder("swapped", 0755);
    make_folder("shared", 01777);
    make_folder("good", 0755);
    make_folder("evil", 0755);
    make_file("good/lib.so", 0644);
    make_file("evil/lib.so", 0644);
    give("swapped");
    give("evil");
    swapper = swapper_start();
    for (unsigned i = 0; i < 30000 && access(in("shared/link"), F_OK) != 0; i++) {
        usleep(1000);
    }
    for (unsigned i = 0; i < 2000; i++) {
        assert_null(to(in("swapped/link/lib.so")));
        assert_null(to(in("shared/link/lib.so"))); /* not even while it leads to the good one: it may not later */
        seen += strstr(room, "belongs to user 65533") != NULL;
    }
    assert_true(seen > 0);
    kill(swapper, SIGKILL);
    assert_int_equal(child_ended(swapper), 128 + SIGKILL);
}

/* --- files that are written to ------------------------------------------------------------------------------------ */

static int append(const char *path)
{
    struct text why = TEXT_OVER(room);

    return path_append(path, &why);
}

static void appends(const char *path)
{
    int fd = append(path);

    if (fd < 0) {
        fail_msg("%s: %s", path, room);
    }
    assert_int_equal(close(fd), 0);
}

TEST(a_file_to_write_is_made_or_added_to)
{
    struct stat info;

    make_folder("logs", 0755);
    appends(in("logs/trace"));
    appends(in("logs/trace"));
    assert_true(stat(in("logs/trace"), &info) == 0 && (info.st_mode & 07777) == 0600);
    make_link("logs/link", "trace");
    appends(in("logs/link"));
    make_folder("logs/tmp", 01777);
    appends(in("logs/tmp/trace"));
    appends("/dev/null");
    assert_true(append(in("logs/none/trace")) < 0 && strstr(room, "No such file") != NULL);
    assert_true(append(in("logs")) < 0 && strstr(room, "Is a directory") != NULL);
}

static int appends_to_its_stderr(void *arg)
{
    int ends[2];
    int fd;

    (void)arg;
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) {
        return 1;
    }
    fd = append("/dev/stderr");
    return fd >= 0 && write(fd, "x", 1) == 1 && read(ends[0], &fd, 1) == 1 ? 0 : 2;
}

TEST(the_links_of_the_kernel_lead_to_what_is_open)
{
    assert_int_equal(child_does(appends_to_its_stderr, NULL), 0);
}

TEST(root_writes_to_no_file_that_a_stranger_aims_at)
{
    if (!is_root()) {
        NOT_HERE("only root has a stranger");
    }
    make_folder("aimed", 01777);
    make_file("aimed/victim", 0644);
    make_link("aimed/link", "victim");
    give("aimed/link");
    assert_true(append(in("aimed/link")) < 0 && strstr(room, "/aimed/link' belongs to user 65533") != NULL);
    make_link("aimed/dangling", "/etc/signet-no-such-file");
    give("aimed/dangling");
    assert_true(append(in("aimed/dangling")) < 0);
    make_file("aimed/theirs", 0644);
    give("aimed/theirs");
    assert_true(append(in("aimed/theirs")) < 0);
    make_folder("their-logs", 0755);
    give("their-logs");
    assert_true(append(in("their-logs/trace")) < 0);
    assert_int_not_equal(access(in("their-logs/trace"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_without_links_is_what_it_is),
        cmocka_unit_test(links_are_followed_as_the_kernel_does),
        cmocka_unit_test(what_is_not_there_is_good_where_only_we_can_make_it),
        cmocka_unit_test(what_others_may_write_to_is_refused_by_name),
        cmocka_unit_test(a_group_may_write_only_if_it_is_our_own_and_we_are_not_root),
        cmocka_unit_test(in_a_folder_that_is_everybodys_what_is_ours_is_safe),
        cmocka_unit_test(what_is_roots_inside_a_strangers_folder_is_refused),
        cmocka_unit_test(an_ordinary_user_takes_what_is_its_own_or_roots),
        cmocka_unit_test(a_link_that_is_swapped_meanwhile_never_leads_to_the_strangers_file),
        cmocka_unit_test(a_file_to_write_is_made_or_added_to),
        cmocka_unit_test(the_links_of_the_kernel_lead_to_what_is_open),
        cmocka_unit_test(root_writes_to_no_file_that_a_stranger_aims_at),
    };

    return (cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, setup, teardown));
}
