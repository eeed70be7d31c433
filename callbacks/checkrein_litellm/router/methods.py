"""What a LiteLLM router can be asked for: which calls are governed, which are made of those, which are none.

Whatever a router sets up for itself besides, each a call to a provider, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["COMPOSED", "GOVERNED", "HARMLESS", "KEPT", "REFUSED"]

GOVERNED: Final[Mapping[str, str]] = {
    "aanthropic_messages": "anthropic_messages",
    "acompletion": "acompletion",
    "aembedding": "aembedding",
    "agenerate_content": "agenerate_content",
    "aimage_edit": "aimage_edit",
    "aimage_generation": "aimage_generation",
    "amoderation": "amoderation",
    "anthropic_messages": "anthropic_messages",
    "arerank": "arerank",
    "aresponses": "aresponses",
    "aspeech": "aspeech",
    "atext_completion": "atext_completion",
    "atranscription": "atranscription",
    "completion": "completion",
    "embedding": "embedding",
    "generate_content": "generate_content",
    "image_generation": "image_generation",
    "responses": "responses",
    "text_completion": "text_completion",
}
"""The router's calls, and LiteLLM's names of what they call."""

KEPT: Final[Mapping[str, str]] = {
    "_aimage_generation": "prompt",
    "_aspeech": "input",
    "_atext_completion": "prompt",
    "_image_generation": "prompt",
}
"""What a router keeps to itself while it chooses a deployment, by the method that chooses."""

COMPOSED: Final = frozenset(
    {
        "abatch_completion",
        "abatch_completion_fastest_response",
        "abatch_completion_one_model_multiple_requests",
        "schedule_acompletion",
    }
)
"""Calls that are made of `acompletion`, and so governed one by one."""

REFUSED: Final = frozenset(
    {
        "aadapter_completion",
        "acancel_batch",
        "acreate_batch",
        "acreate_file",
        "aguardrail",
        "alist_batches",
        "aretrieve_batch",
        "avector_store_create",
    }
)
"""Methods that call a provider and are not governed."""

HARMLESS: Final = frozenset(
    {
        "add_deployment",
        "add_optional_pre_call_checks",
        "apply_default_settings",
        "are_all_deployments_blocked",
        "arefresh_model_info",
        "arm_routing_read_prefetch",
        "async_callback_filter_deployments",
        "async_deployment_callback_on_failure",
        "async_function_with_fallbacks",
        "async_function_with_fallbacks_common_utils",
        "async_function_with_retries",
        "async_get_available_deployment",
        "async_get_available_deployment_for_pass_through",
        "async_get_fully_unhealthy_model_names",
        "async_get_healthy_deployments",
        "async_pre_routing_hook",
        "async_routing_strategy_pre_call_checks",
        "auto_router_capability_violation",
        "cached_model_group_info",
        "config_deployments",
        "delete_deployment",
        "deployment_callback_on_failure",
        "deployment_callback_on_success",
        "deployment_is_active_for_environment",
        "deployment_usable_by_team",
        "deployments_for_request",
        "discard",
        "factory_function",
        "flush_cache",
        "function_with_fallbacks",
        "generate_model_id",
        "get_all_deployments",
        "get_allowed_fails_from_policy",
        "get_available_deployment",
        "get_available_deployment_for_pass_through",
        "get_available_guardrail",
        "get_candidate_model_ids_for_route",
        "get_configured_display_name",
        "get_configured_mode",
        "get_configured_service_tiers",
        "get_configured_token_limits",
        "get_credential_deployment",
        "get_deployment",
        "get_deployment_by_model_group_name",
        "get_deployment_credentials",
        "get_deployment_credentials_with_provider",
        "get_deployment_model_info",
        "get_discovered_model_info",
        "get_fully_blocked_model_names",
        "get_model_access_groups",
        "get_model_from_alias",
        "get_model_group",
        "get_model_group_info",
        "get_model_group_io_token_usage",
        "get_model_group_usage",
        "get_model_ids",
        "get_model_info",
        "get_model_list",
        "get_model_list_from_model_alias",
        "get_model_list_from_routing_groups",
        "get_model_list_of_routed_group",
        "get_model_listing_info",
        "get_model_names",
        "get_num_retries_from_retry_policy",
        "get_remaining_model_group_usage",
        "get_routable_upstream_model",
        "get_router_deployment_budget_limiter",
        "get_router_model_info",
        "get_routing_group",
        "get_settings",
        "get_valid_args",
        "has_model_id",
        "increment_deployment_usage_for_response",
        "init_adaptive_router_deployment",
        "init_auto_router_deployment",
        "init_complexity_router_deployment",
        "init_quality_router_deployment",
        "initialize_assistants_endpoint",
        "initialize_router_endpoints",
        "is_deployment_blocked",
        "is_model_access_group_for_wildcard_route",
        "is_recognized_model",
        "log_retry",
        "make_call",
        "map_team_model",
        "print_deployment",
        "replay_model_cost_registrations",
        "reset",
        "resolve_model_name_from_model_id",
        "resolved_litellm_models",
        "routable_model_group",
        "routing_group_has_alternatives",
        "routing_strategy_init",
        "routing_strategy_pre_call_checks",
        "set_custom_routing_strategy",
        "set_model_list",
        "set_optional_pre_call_checks",
        "set_response_headers",
        "should_include_deployment",
        "should_retry_this_error",
        "sync_deployment_callback_on_success",
        "team_model_has_alternatives",
        "update_redis_cache",
        "update_settings",
        "upsert_deployment",
        "validate_fallbacks",
    }
)
"""Methods that send nothing of a call to a provider, or are parts of those above."""
