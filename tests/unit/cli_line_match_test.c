// What stays of two texts: the same lines in the same order in both, and as many as can be.

#include "test.h"

#include "cli/line_match.h"

enum {
	LINES = 60,
	ROUNDS = 3000
};

static char *words[] = {"a", "b", "c", "d", "- e", "  f", "", "g"};

static void random_lines(struct random *random, struct text_lines *lines, uint32_t kinds)
{
	lines->count = random_below(random, LINES);
	for (size_t i = 0; i < lines->count; i++) {
		lines->list[i] = words[random_below(random, kinds)];
		lines->stays[i] = false;
	}
}

// By the table of all beginnings.
static size_t longest_common(const struct text_lines *before, const struct text_lines *after)
{
	static size_t common[LINES + 1][LINES + 1];

	for (size_t i = before->count; i-- > 0;)
		for (size_t j = after->count; j-- > 0;) {
			size_t down = i + 1 < before->count ? common[i + 1][j] : 0;
			size_t right = j + 1 < after->count ? common[i][j + 1] : 0;
			size_t both = i + 1 < before->count && j + 1 < after->count
					      ? common[i + 1][j + 1]
					      : 0;

			common[i][j] = down > right ? down : right;
			if (strcmp(before->list[i], after->list[j]) == 0 && both + 1 > common[i][j])
				common[i][j] = both + 1;
		}
	return before->count && after->count ? common[0][0] : 0;
}

static size_t check_stays(const struct text_lines *before, const struct text_lines *after)
{
	size_t j = 0, count = 0;

	for (size_t i = 0; i < before->count; i++) {
		if (!before->stays[i])
			continue;
		while (j < after->count && !after->stays[j])
			j++;
		assert_true(j < after->count);
		assert_string_equal(before->list[i], after->list[j]);
		j++;
		count++;
	}
	while (j < after->count)
		assert_false(after->stays[j++]);
	return count;
}

static void test_random(void **state)
{
	struct random random = {random_seed()};
	char *lists[2][LINES];
	bool stays[2][LINES];
	struct text_lines before = {.list = lists[0], .stays = stays[0]};
	struct text_lines after = {.list = lists[1], .stays = stays[1]};

	print_message("seed %#lx\n", random.state);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t kinds = 1 + random_below(&random, sizeof(words) / sizeof(*words));

		random_lines(&random, &before, kinds);
		random_lines(&random, &after, kinds);
		line_match(&before, &after);
		assert_int_equal(check_stays(&before, &after), longest_common(&before, &after));
	}
}

// A few changes among very many lines, and nothing but changes.
static void test_large(void **state)
{
	enum {
		COUNT = 200000
	};
	struct text_lines before = {.count = COUNT}, after = {.count = COUNT - 1};
	char *texts = calloc(COUNT, 12);

	before.list = calloc(COUNT, sizeof(*before.list));
	before.stays = calloc(COUNT, sizeof(*before.stays));
	after.list = calloc(COUNT, sizeof(*after.list));
	after.stays = calloc(COUNT, sizeof(*after.stays));
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(texts + i * 12, 12, "%zu", i);
		before.list[i] = texts + i * 12;
		after.list[i > 100000 ? i - 1 : i] = texts + i * 12;
	}
	after.list[150000] = words[0];
	line_match(&before, &after);
	assert_int_equal(check_stays(&before, &after), COUNT - 2);
	for (size_t i = 0; i < COUNT; i++)
		before.stays[i] = after.stays[i] = false;
	for (size_t i = 1; i + 2 < COUNT; i++)
		after.list[i] = words[i % 4];
	line_match(&before, &after);
	assert_int_equal(check_stays(&before, &after), 2);
	free(texts);
	free(before.list);
	free(before.stays);
	free(after.list);
	free(after.stays);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
