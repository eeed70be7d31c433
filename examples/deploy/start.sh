#!/bin/sh
# Starts the proxy. LiteLLM reads secrets from its environment alone; here they come from files, so that they
# stand in no manifest and in no `inspect` of a container.
set -eu
: "${CONFIG:=/etc/checkrein}" "${SECRETS:=/run/secrets}" "${HOST:=0.0.0.0}" "${PORT:=4000}"
LITELLM_MASTER_KEY="$(cat "$SECRETS/litellm-master-key")"
OPENAI_API_KEY="$(cat "$SECRETS/openai-api-key")"
export LITELLM_MASTER_KEY OPENAI_API_KEY
exec litellm --config "$CONFIG/litellm.yaml" --host "$HOST" --port "$PORT" --num_workers 1
