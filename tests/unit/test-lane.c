#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "pkcs11/work/lane.h"

#define MOST 8

static struct lanes lanes;
static struct tok_request *requests[16];
static size_t num_requests;

/* Tokens are told apart, and never looked at. */
static const struct tok_token *token(size_t i)
{
    static char tokens[4];

    return (const struct tok_token *)(const void *)&tokens[i];
}

static void furnish(void)
{
    while (num_requests > 0) {
        free(requests[--num_requests]);
    }
    while (lanes.first != NULL) {
        struct lane *next = lanes.first->next;

        free(lanes.first);
        lanes.first = next;
    }
    lanes = (struct lanes){ .most = MOST };
}

static struct tok_request *push(size_t i)
{
    struct tok_request *request = calloc(1, sizeof(*request));

    assert_non_null(request);
    requests[num_requests++] = request;
    request->lane = lane_of(&lanes, token(i));
    assert_non_null(request->lane);
    lanes_push(&lanes, request);
    return request;
}

/* How many workers a token gets while they are all asked for. */
static unsigned workers_of(struct lane *lane)
{
    while (lane_has_place(&lanes, lane)) {
        lane->busy++;
    }
    return lane->busy;
}

TEST(each_token_has_a_lane_and_keeps_it)
{
    struct lane *lane;

    furnish();
    lane = lane_of(&lanes, token(0));
    assert_ptr_not_equal(lane_of(&lanes, token(1)), lane);
    assert_ptr_equal(lane_of(&lanes, token(0)), lane);
}

TEST(requests_of_a_token_are_served_in_order)
{
    struct tok_request *first;
    struct tok_request *second;

    furnish();
    first = push(0);
    second = push(0);
    assert_ptr_equal(lanes_pop(&lanes), first);
    assert_ptr_equal(lanes_pop(&lanes), second);
    assert_null(lanes_pop(&lanes));
    assert_int_equal(lanes.num_queued, 0);
}

TEST(tokens_take_turns)
{
    struct tok_request *a[3];
    struct tok_request *b;

    furnish();
    b = push(1);
    for (size_t i = 0; i < 3; i++) {
        a[i] = push(0); /* the newest lane is first */
    }
    assert_ptr_equal(lanes_pop(&lanes), a[0]);
    assert_ptr_equal(lanes_pop(&lanes), b);
    assert_ptr_equal(lanes_pop(&lanes), a[1]);
    assert_ptr_equal(lanes_pop(&lanes), a[2]);
}

TEST(whoever_leaves_the_queue_breaks_it_nowhere)
{
    for (size_t leaves = 0; leaves < 3; leaves++) {
        struct tok_request *pushed[4];

        furnish();
        for (size_t i = 0; i < 3; i++) {
            pushed[i] = push(0);
        }
        lanes_remove(&lanes, pushed[leaves]);
        pushed[3] = push(0);
        for (size_t i = 0; i < 4; i++) {
            if (i != leaves) {
                assert_ptr_equal(lanes_pop(&lanes), pushed[i]);
            }
        }
        assert_int_equal(lanes.num_queued, 0);
    }
}

TEST(a_token_has_all_workers_only_where_there_is_no_other)
{
    furnish();
    assert_int_equal(workers_of(lane_of(&lanes, token(0))), MOST);
    furnish();
    (void)lane_of(&lanes, token(1));
    assert_int_equal(workers_of(lane_of(&lanes, token(0))), MOST - MOST / 4);
}

TEST(where_there_are_two_or_three_workers_one_is_left_for_others)
{
    for (unsigned most = 1; most < 4; most++) {
        furnish();
        lanes.most = most;
        (void)lane_of(&lanes, token(1));
        assert_int_equal(workers_of(lane_of(&lanes, token(0))), most == 1 ? 1 : most - 1);
    }
}

TEST(and_no_more_than_it_has_sessions)
{
    struct tok_request *waits;
    struct lane *lane;

    furnish();
    waits = push(0);
    lane = waits->lane;
    lane->sessions = 2;
    assert_int_equal(workers_of(lane), 2);
    assert_null(lanes_pop(&lanes)); /* until one is free */
    lane->busy--;
    assert_ptr_equal(lanes_pop(&lanes), waits);
}

TEST(a_token_that_has_no_place_lets_the_next_one_be_served)
{
    struct tok_request *b;

    furnish();
    b = push(1);
    (void)workers_of(push(0)->lane);
    assert_ptr_equal(lanes_pop(&lanes), b);
}

TEST(what_a_token_takes_is_known_and_forgets_slowly)
{
    struct lane *lane;

    furnish();
    lane = lane_of(&lanes, token(0));
    assert_int_equal(lane->usual_us, 0);
    lane_took(lane, 100);
    assert_int_equal(lane->usual_us, 100);
    lane_took(lane, 500);
    assert_int_equal(lane->usual_us, 200);
}

TEST(in_the_child_of_a_fork_nobody_waits_and_nobody_works)
{
    struct lane *lane;
    struct tok_request *own;

    furnish();
    (void)push(0);
    lane = push(0)->lane;
    lane->busy = MOST;
    lanes_forget(&lanes);
    assert_int_equal(lanes.num_queued, 0);
    assert_true(lane_has_place(&lanes, lane));
    own = push(0);
    assert_ptr_equal(lanes_pop(&lanes), own);
    furnish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_has_a_lane_and_keeps_it),
        cmocka_unit_test(requests_of_a_token_are_served_in_order),
        cmocka_unit_test(tokens_take_turns),
        cmocka_unit_test(whoever_leaves_the_queue_breaks_it_nowhere),
        cmocka_unit_test(a_token_has_all_workers_only_where_there_is_no_other),
        cmocka_unit_test(where_there_are_two_or_three_workers_one_is_left_for_others),
        cmocka_unit_test(and_no_more_than_it_has_sessions),
        cmocka_unit_test(a_token_that_has_no_place_lets_the_next_one_be_served),
        cmocka_unit_test(what_a_token_takes_is_known_and_forgets_slowly),
        cmocka_unit_test(in_the_child_of_a_fork_nobody_waits_and_nobody_works),
    };

    return RUN(tests);
}
