// Other nodes on external networks, which this one stands in for: a line in the log when one falls
// silent, and when it answers again.

#include "base/log.h"
#include "control/control.h"
#include "layer/external/external.h"

static void tell(const struct tables *tables, const struct external_share *share,
		 const struct external_watched *watched, bool down)
{
	const char *network = tables->networks[share->network].name;
	const char *node = tables->peers[watched->peer].name;
	char address[IP_TEXT_SIZE];

	ip_format(&watched->address, address);
	if (down)
		log_warning(
			"another node on an external network does not answer",
			log_text("network", network), log_text("node", node),
			log_text("address", address),
			log_text("sharedAddresses", external_share_is_ours(tables->externals, share)
							    ? "answered here"
							    : "answered by another node"));
	else
		log_info("another node on an external network answers again",
			 log_text("network", network), log_text("node", node),
			 log_text("address", address));
}

void control_watched_nodes(const struct control *control)
{
	const struct externals *externals = control->tables->externals;

	for (uint32_t i = 0; i < externals->share_count; i++) {
		const struct external_share *share = &externals->shares[i];

		for (uint32_t j = 0; j < share->count; j++) {
			const struct external_watched *watched =
				&externals->watched[share->first + j];
			bool down = atomic_load(&watched->neighbour->down);

			if (down == watched->neighbour->down_logged)
				continue;
			watched->neighbour->down_logged = down;
			tell(control->tables, share, watched, down);
		}
	}
}
