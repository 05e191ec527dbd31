#include "flow_tcp_play.h"

void play(const struct step *steps, size_t count, bool loose, uint32_t first, uint32_t second)
{
	const uint32_t start[2] = {first, second};
	struct flow_account account = {.last_seen = 0};

	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		enum flow_direction_index d = step->direction;
		enum flow_progress progress = FLOW_GOES_ON;
		struct flow_account before;
		struct packet packet = {
			.key = {.protocol = IPPROTO_TCP},
			.tcp_flags = step->flags,
			.tcp_seq = start[d] + step->seq,
			.tcp_ack = step->flags & ACK ? start[!d] + step->ack : 0,
			.tcp_window = step->window,
			.tcp_scale = step->scale,
		};

		packet.tcp_end = packet.tcp_seq + step->length + !!(step->flags & (SYN | FIN));
		before = account;
		if (i == 0)
			flow_state_open(&account, &packet, loose);
		else
			progress = flow_account_packet(NULL, &account, d, &packet, 60, (uint32_t)i);
		check_case(progress == step->progress, "from %u, %u: step %zu: progress %d\n",
			   first, second, i, progress);
		if (progress == FLOW_RENEWS)
			flow_state_renew(&account, &packet);
		check_case(account.state == step->state, "from %u, %u: step %zu: %s (%x)\n", first,
			   second, i, flow_state_name(flow_state_get(&account)), account.state);
		if (i == 0)
			continue;
		// What is outside changes nothing at all; what only passes keeps nothing alive.
		if (progress == FLOW_OUTSIDE || progress == FLOW_REOPENS || progress == FLOW_ENDS)
			assert_memory_equal(&account, &before, sizeof(account));
		if (progress != FLOW_GOES_ON)
			assert_int_equal(account.last_seen, before.last_seen);
		else
			assert_int_equal(account.packets[d], before.packets[d] + 1);
	}
}

void play_all(const struct step *steps, size_t count, bool loose)
{
	static const uint32_t starts[][2] = {
		{1000, 5000},
		{0, 0},
		{UINT32_MAX, UINT32_MAX},
		{UINT32_MAX - 500, 77},
		{77, UINT32_MAX - 500},
		{INT32_MAX - 500u, INT32_MAX},
		{0x80000000u, 0xffffff00},
		{UINT32_MAX - 60000, UINT32_MAX - 100000},
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		play(steps, count, loose, starts[i][0], starts[i][1]);
}
