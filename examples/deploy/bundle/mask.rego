# METADATA
# title: No text in OPA's decision log
# description: None is sent unless `input` in Checkrein's settings names some; this keeps it out even then.
package system.log

mask contains "/input/context/prompt/text"

mask contains "/input/context/completion/text"
