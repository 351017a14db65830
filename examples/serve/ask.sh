#!/usr/bin/env bash
# Ask a model with curl, in the words of its pipeline and in the Open Inference Protocol: ./ask.sh base-95-16x1
set -euo pipefail
model=${1:?which model?}
server=${SERVER:-127.0.0.1:5543}

curl --fail-with-body --silent --show-error "$server/predict/$model" --data '{
  "question": "Who kept the lamp?",
  "context": "Marta Holm kept the lamp of the lighthouse for thirty-four years."
}'
echo
curl --fail-with-body --silent --show-error "$server/v2/models/$model/infer" --data '{
  "id": "1",
  "inputs": [
    {"name": "QUESTION", "datatype": "BYTES", "shape": [1], "data": ["Who kept the lamp?"]},
    {"name": "CONTEXT", "datatype": "BYTES", "shape": [1],
     "data": ["Marta Holm kept the lamp of the lighthouse for thirty-four years."]}
  ]
}'
echo
