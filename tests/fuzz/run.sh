#!/bin/sh
# Builds the fuzzers with clang and runs each for some seconds, one on each CPU: run.sh SECONDS [TARGET...]
# The corpus grows in build-fuzz/corpus. Fails on any finding, which is left in build-fuzz/findings.
set -eu

build="build-fuzz"

# run SECONDS TARGET
run() {
	seconds=$1
	target=$2
	case $target in
	capture | membership) size=1024 ;;
	offload) size=8192 ;;
	family | packet | dhcp | fragments) size=2048 ;;
	plane | vhost_ring | vhost_user) size=8192 ;;
	payload | yaml) size=4096 ;;
	rpc) size=4096 ;;
	*) echo "run.sh: no fuzzer '$target'" >&2; exit 2 ;;
	esac
	log=$build/findings/$target.log
	if ! UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$build/tests/fuzz/fuzz_"$target" -max_total_time="$seconds" -max_len=$size -timeout=10 \
		-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$build/findings/"$target"- \
		$build/corpus/"$target" >"$log" 2>&1; then
		cat "$log" >&2
		echo "fuzz_$target: a finding, see $build/findings" >&2
		exit 1
	fi
	echo "fuzz_$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s"
}

# Called by itself, below.
if [ "${1:-}" = --one ]; then
	run "$2" "$3"
	exit
fi

seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- capture dhcp family fragments membership offload packet payload plane vhost_ring vhost_user yaml rpc
cd "$(dirname "$0")/../.."

[ -f $build/build.ninja ] || CC=clang meson setup $build -Dfuzzers=true -Db_lundef=false \
	-Db_sanitize=address,undefined -Doptimization=1 -Dc_args=-fsanitize=fuzzer-no-link
for target; do
	ninja -C $build tests/fuzz/fuzz_"$target"
done
/usr/bin/python3 tests/fuzz/make_corpus.py $build/corpus
mkdir -p $build/findings
printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" tests/fuzz/run.sh --one "$seconds"
