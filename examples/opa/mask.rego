# METADATA
# title: No text in OPA's decision log
# description: |
#   OPA logs the whole input of every decision, and Checkrein sends no text unless `input` in its settings
#   names some. Load this policy as well where it does; it costs nothing where it does not. OPA asks it for
#   every event before it buffers it, and drops the event if it fails.
package system.log

mask contains "/input/context/prompt/text"

mask contains "/input/context/completion/text"

mask contains "/input/context/result/text"

mask contains "/input/context/tool/arguments"

# A rule may put text into its answer: a replacement, or a message that quotes what it denies.
mask contains sprintf("/result/obligations/%d/properties/text", [index]) if {
	some index, obligation in input.result.obligations
	obligation.type == "replace"
}

mask contains sprintf("/result/reasons/%d/%s", [index, key]) if {
	some index, reason in input.result.reasons
	some key in {"msg", "message"}
	reason[key]
}
