"""What a reply looks like, and a model whose denials are replied to."""


def told(record):
    return f"Ask something else. Ref {record.decision_id}"


def is_reply(message, record):
    """Whether a message is the reply to a denied decision."""
    facts = message.response_metadata
    return (
        message.text == told(record)
        and facts["finish_reason"] == "content_filter"
        and (facts["decision_id"], facts["reasons"]) == (record.decision_id, ["no"])
        and facts["stage"] == record.request.stage.value
        and message.tool_calls == []
    )
