#!/bin/sh
# Everything that needs a CUDA device: equality on the device, speed, one whole recursion. Leaves JSON in bench/results.
# Usage: sh bench/gpu.sh [PEAK_BF16_TFLOPS]     (989: H100 and H200, dense)
set -eu
cd "$(dirname "$0")/.."
root="$(pwd)"
bin="$root/.venv/bin"
[ -x "$bin/python" ] || bin="$(dirname "$(command -v python)")"
"$bin/python" -m pytest -q -m gpu tests
"$bin/python" bench/lm.py --device cuda --repeats 2 --peak-tflops "${1:-989}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
sample="$("$bin/python" -c 'from provenance import sample; print(sample.path("speeches").parent)')"
"$bin/provenance" init
"$bin/provenance" corpus add speeches "$sample/speeches.jsonl.zst" --key-field id --subgroup-field subgroup --origin human
"$bin/provenance" corpus add labelled "$sample/labelled.jsonl.zst" --key-field id --origin-field label --meta-fields domain
"$bin/provenance" detector train labelled --detector stylometry --group domain
"$bin/provenance" experiment run lm-cpu # takes the CUDA device by itself
"$bin/python" "$root/bench/lm_recursion.py" lm-cpu lm_recursion_cuda
