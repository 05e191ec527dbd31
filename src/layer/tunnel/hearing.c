#include "layer/tunnel/hearing.h"

// Another worker's clock may be a moment ahead.
static bool is_over(uint32_t then, uint32_t now, uint32_t patience)
{
	return (int32_t)(now - then) > (int32_t)patience;
}

bool hearing_await(struct hearing *hearing, uint32_t now, uint32_t before)
{
	uint32_t round = atomic_load_explicit(&hearing->round, memory_order_relaxed);
	uint32_t patience = HEARING_ROUNDS * (round ? round : HEARING_ROUND) + 1;
	bool silent;

	// Who was silent before a stall is so until it is heard.
	if (hearing->awaited != before ||
	    (is_over(before, now, HEARING_STALL) && !atomic_load(&hearing->silent)))
		atomic_store(&hearing->since, now);
	hearing->awaited = now;
	silent =
		is_over(atomic_load(&hearing->since), now, patience) &&
		is_over(atomic_load_explicit(&hearing->heard, memory_order_relaxed), now, patience);
	atomic_store(&hearing->silent, silent);
	return silent;
}
