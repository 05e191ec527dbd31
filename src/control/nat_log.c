// Blocks of ports that Nats have given and got back, in the log: by that, whose a connection was.

#include <stdio.h>
#include <time.h>

#include <rte_cycles.h>

#include "base/log.h"
#include "control/control.h"
#include "layer/nat/tables.h"

// Lines of a second; what is more waits (NAT_BLOCK_EVENTS).
#define LINES_MAX 1000

#define MILLISECONDS 1000

// When it was, as RFC 3339 has it.
static void print_time(const struct control *control, uint64_t cycles, char *text, size_t size)
{
	uint64_t per_second = control->engine->cycles_per_second;
	uint64_t ago = (rte_rdtsc() - cycles) * MILLISECONDS / per_second;
	struct timespec now;
	struct tm fields;
	int64_t then;
	time_t seconds;
	char day[64];

	clock_gettime(CLOCK_REALTIME, &now);
	then = (int64_t)now.tv_sec * MILLISECONDS + now.tv_nsec / 1000000 - (int64_t)ago;
	seconds = then / MILLISECONDS;
	gmtime_r(&seconds, &fields);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &fields);
	snprintf(text, size, "%s.%03dZ", day, (int)(then % MILLISECONDS));
}

static const char *nat_name(const struct control *control, const struct nat_block_event *event)
{
	const struct nat_tables *nats = control->tables->nat;
	uint32_t found = lookup_find(&nats->by_address,
				     lookup_key_address(event->network, &event->external));

	return found ? nats->nats[found - 1].name : "";
}

static const char *name(const struct numbers *numbers, uint16_t number)
{
	return number <= numbers->highest ? numbers->names[number] : NULL;
}

static void event_log(const struct control *control, const struct nat_block_event *event)
{
	const struct compile_numbers *numbers = &control->numbers;
	char when[80], external[IP_TEXT_SIZE], inside[IP_TEXT_SIZE], ports[16];
	struct log_field line[] = {
		log_text("message",
			 event->given ? "block of ports given" : "block of ports returned"),
		log_text("at", when),
		log_text("nat", nat_name(control, event)),
		log_text("address", ip_format(&event->external, external)),
		log_text("ports", ports),
		log_text("port", name(&numbers->ports, event->owner)),
		log_text("network", name(&numbers->networks, event->inside_network)),
		log_text("inside", ip_format(&event->inside, inside)),
		{.key = NULL},
	};

	print_time(control, event->cycles, when, sizeof(when));
	snprintf(ports, sizeof(ports), "%u-%u", event->block.first,
		 event->block.first + event->block.count - 1u);
	log_write(LOG_LEVEL_INFO, line);
}

void control_nat_log(struct control *control)
{
	struct nat_mappings *mappings = control->numbers.mappings;
	struct nat_block_event event;
	uint64_t lost;

	for (unsigned int i = 0; i < LINES_MAX && nat_mappings_block_event(mappings, &event); i++)
		event_log(control, &event);
	lost = nat_mappings_block_events_lost(mappings);
	if (lost)
		log_warning("blocks of ports not in the log", log_number("count", lost));
}
