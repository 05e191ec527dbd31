# `optional uint32 mtu = 4;` becomes `oneof has_mtu { uint32 mtu = 4; }`, for protoc-c.
s/^( *)optional ([a-z0-9]+ ([a-z0-9_]+) = [0-9]+;)/\1oneof has_\3 { \2 }/
