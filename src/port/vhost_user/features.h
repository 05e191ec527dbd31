// What is offered to guests and front-ends.

#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "port/port.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

#define FEATURE_LOG_ALL	 26 // VHOST_F_LOG_ALL
#define FEATURE_PROTOCOL 30 // VHOST_USER_F_PROTOCOL_FEATURES
// Younger than some headers (virtio 1.2 section 5.1.3; virtio-spec, Feature bits).
#define FEATURE_IN_ORDER   35
#define FEATURE_GUEST_USO4 54
#define FEATURE_GUEST_USO6 55
#define FEATURE_HOST_USO   56

#define PROTOCOL_MQ		     0
#define PROTOCOL_LOG_SHMFD	     1
#define PROTOCOL_RARP		     2
#define PROTOCOL_REPLY_ACK	     3
#define PROTOCOL_NET_MTU	     4
#define PROTOCOL_RESET_DEVICE	     13
#define PROTOCOL_CONFIGURE_MEM_SLOTS 15
#define PROTOCOL_STATUS		     16

// `uplink`: whoever is there leads to other nodes.
uint64_t vhost_features(bool uplink);
extern const uint64_t vhost_protocol_features;

// What the guest's driver finishes of a packet that it gets, as PORT_OFFLOAD_ bits.
uint32_t vhost_features_offloads(uint64_t features);
