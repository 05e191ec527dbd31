#include "flow/charge.h"

#include <stddef.h>

// By the flag each is given back once.
static bool take_half_open(const struct flow_charges *charges, struct flow_account *account)
{
	uint8_t flags;

	if (charges->alone) {
		flags = atomic_load_explicit(&account->flags, memory_order_relaxed);
		atomic_store_explicit(&account->flags, (uint8_t)(flags & ~FLOW_HALF_OPEN),
				      memory_order_relaxed);
		return flags & FLOW_HALF_OPEN;
	}
	return atomic_fetch_and_explicit(&account->flags, (uint8_t)~FLOW_HALF_OPEN,
					 memory_order_acq_rel) &
	       FLOW_HALF_OPEN;
}

void flow_charge_settle(struct flow_charges *charges, struct flow_account *account)
{
	const struct flow *flow =
		(const struct flow *)((const char *)account - offsetof(struct flow, account));
	struct flow_charge *charge;

	if (!charges || !flow_has(account, FLOW_HALF_OPEN) ||
	    flow_state_is_half_open(flow_state_get(account)))
		return;
	// Before the flag is taken out: its owner moves the charge in the opposite order.
	charge = flow_charge_of(charges, flow->direction[FLOW_ORIGINAL].ingress);
	if (take_half_open(charges, account))
		flow_charge_change(&charge->half_open, -1, charges->alone);
}

void flow_charge_move(struct flow_charges *charges, struct flow *flow, flow_ingress from)
{
	struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	bool half_open;

	if (flow_charge_number(original->ingress) == flow_charge_number(from)) {
		original->ingress = from;
		return;
	}
	half_open = take_half_open(charges, &flow->account);
	flow_charge_add(charges, flow, half_open, -1);
	original->ingress = from;
	flow_charge_add(charges, flow, half_open, 1);
	if (half_open)
		atomic_fetch_or_explicit(&flow->account.flags, FLOW_HALF_OPEN,
					 memory_order_acq_rel);
}
