#include "layer/nat/announce.h"

bool nat_announce(const struct tables *tables, struct nat_announcement *announcement, uint32_t now)
{
	// One address for another: ports stay, and who comes is let in by the address alone.
	announcement->address = announcement->leaving->source;
	announcement->external_port = announcement->inside_port;
	return true;
}
