// The ring between a worker and who reads what it captures.

#include "test.h"

#include "worker/capture_ring.h"

#define SIZE 1024

static struct capture_ring *ring_make(void)
{
	struct capture_ring *ring = aligned_alloc(64, sizeof(*ring));

	assert_non_null(ring);
	memset(ring, 0, sizeof(*ring));
	ring->size = SIZE;
	ring->memory = aligned_alloc(64, SIZE);
	return ring;
}

static void ring_end(struct capture_ring *ring)
{
	free(ring->memory);
	free(ring);
}

static bool put(struct capture_ring *ring, uint32_t captured, uint8_t content)
{
	struct capture_record *record = capture_ring_stage(ring, captured);

	if (!record)
		return false;
	assert_in_range((uintptr_t)record, (uintptr_t)ring->memory,
			(uintptr_t)ring->memory + SIZE - record->size);
	record->port = 1;
	memset(record->bytes, content, captured);
	return true;
}

static void test_staged_is_not_seen(void **state)
{
	struct capture_ring *ring = ring_make();
	uint64_t end;

	assert_true(put(ring, 10, 1));
	end = ring->written;
	assert_true(put(ring, 20, 2));
	assert_null(capture_ring_first(ring));
	capture_ring_publish(ring, end);
	assert_int_equal(capture_ring_first(ring)->captured, 10);
	capture_ring_free(ring, capture_ring_first(ring));
	// What was staged behind it is forgotten.
	assert_null(capture_ring_first(ring));
	assert_true(put(ring, 30, 3));
	capture_ring_publish(ring, ring->written);
	assert_int_equal(capture_ring_first(ring)->captured, 30);
	ring_end(ring);
}

static void test_full(void **state)
{
	struct capture_ring *ring = ring_make();
	unsigned int count = 0;

	while (put(ring, 100, 1))
		count++;
	assert_int_equal(count, SIZE / 160);
	capture_ring_publish(ring, ring->written);
	assert_false(put(ring, 100, 1));
	capture_ring_free(ring, capture_ring_first(ring));
	// Its place is at the start again, behind some bytes that stay empty.
	assert_true(put(ring, 100, 1));
	assert_false(put(ring, 100, 1));
	assert_true(put(ring, 0, 1) == false);
	ring_end(ring);
}

// Any sizes in any order come out as they went in.
static void test_order(void **state)
{
	struct capture_ring *ring = ring_make();
	struct random random = {7};
	uint32_t sizes[SIZE], in = 0, out = 0;

	for (unsigned int i = 0; i < 100000; i++) {
		uint32_t captured = random_below(&random, 300);
		const struct capture_record *record;

		if (random_below(&random, 2)) {
			if (put(ring, captured, (uint8_t)captured))
				sizes[in++ % SIZE] = captured;
			capture_ring_publish(ring, ring->written);
			continue;
		}
		record = capture_ring_first(ring);
		assert_true(!record == (in == out));
		if (!record)
			continue;
		assert_int_equal(record->captured, sizes[out++ % SIZE]);
		for (uint32_t j = 0; j < record->captured; j++)
			assert_int_equal(record->bytes[j], (uint8_t)record->captured);
		capture_ring_free(ring, record);
	}
	assert_true(out > 10000);
	ring_end(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_staged_is_not_seen),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
