// Prometheus' text format (version 0.0.4). Control thread.

#pragma once

#include <stdint.h>
#include <stdio.h>

#include "sluice.pb-c.h"

// What a metric is: `type` is gauge or counter. Its samples follow.
void metrics_family(FILE *file, const char *name, const char *type, const char *help);

// A label's value.
void metrics_label(FILE *file, const char *text);

// A sample with up to two labels (NULL: none), but for its number.
void metrics_sample(FILE *file, const char *name, const char *label, const char *value,
		    const char *label2, const char *value2);
void metrics_count(FILE *file, uint64_t number);

// One that has no labels.
void metrics_gauge(FILE *file, const char *name, const char *help, uint64_t number);

// metrics_policy.c: what is of next hops, Nats, QosPolicies and LoadBalancers.
void metrics_policy_write(FILE *file, const Sluice__V1__StatsResponse *stats);
