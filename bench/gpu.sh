#!/bin/bash
# Everything that needs a CUDA device, in under nine minutes: equality there, one whole recursion on real text, speed.
# Leaves lm_recursion_cuda.json and lm_cuda.json in bench/results. The speed part needs `accelerate`.
#
#     bash bench/gpu.sh MODEL WIKITEXT [PEAK_BF16_TFLOPS]
#
# MODEL is a folder with SmolLM2-135M-Instruct (or its name on the hub), WIKITEXT the train split of WikiText-2 as its
# published file of tokens (.xz or plain), the peak 989 unless said otherwise: H100 and H200, dense.
set -euo pipefail
model="$1" text="$(realpath "$2")" peak="${3:-989}"
if [ -d "$model" ]; then model="$(realpath "$model")"; fi
cd "$(dirname "$0")/.."
root="$PWD"
python="$root/.venv/bin/python"
[ -x "$python" ] || python="$(command -v python)"
provenance() { "$python" -c "from provenance.cli import main; main()" "$@"; }

"$python" -P -m pytest -q -m gpu tests

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
sample="$("$python" -c 'from provenance import sample; print(sample.path("labelled").parent)')"
"$python" "$root/bench/wikitext.py" "$text" --articles 120 > wikitext2.jsonl
provenance init
provenance corpus add wikitext2 wikitext2.jsonl --key-field id --meta-fields article --origin human
provenance corpus add labelled "$sample/labelled.jsonl.zst" --key-field id --origin-field label --meta-fields domain
provenance detector train labelled --detector stylometry --group domain
recipe="$root/provenance/recipes/wikitext2-smollm2.toml"
sed "s|^base = .*|base = \"$model\"|" "$recipe" > recipe.toml
# One process a policy: the device is shared, and what each of them does on the processor overlaps.
export OMP_NUM_THREADS=2
for policy in replace accumulate replay detected control; do
  provenance experiment run recipe.toml --only "$policy-s0" --only "$policy-s1" > "$policy.log" 2>&1 &
done
wait
tail -n 3 -- *.log
"$python" "$root/bench/lm_recursion.py" wikitext2-smollm2 lm_recursion_cuda

cd "$root"
"$python" bench/lm.py --device cuda --repeats 2 --peak-tflops "$peak"
