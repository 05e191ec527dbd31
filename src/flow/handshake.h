// What TCP and SCTP have beside their packets' progress; see state.h for the contracts. Nobody else
// includes this.

#pragma once

#include "flow/state.h"

enum drop_reason tcp_may_open(const struct packet *packet, bool pick_up);
enum drop_reason sctp_may_open(const struct packet *packet, bool pick_up);

void tcp_open(struct flow_account *account, const struct packet *packet, bool loose);
void sctp_open(struct flow_account *account, const struct packet *packet, bool loose);

bool tcp_quotes(const struct flow_account *account, enum flow_direction_index direction,
		const struct packet *error);
bool sctp_quotes(const struct flow_account *account, enum flow_direction_index direction,
		 const struct packet *error);

bool tcp_tolerates(struct flow_account *account, enum flow_direction_index direction,
		   const struct packet *packet, bool near, bool pick_up);
bool sctp_tolerates(struct flow_account *account, enum flow_direction_index direction,
		    const struct packet *packet, bool pick_up);
