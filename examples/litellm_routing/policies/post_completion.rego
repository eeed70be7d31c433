# METADATA
# title: Answers
# description: What comes back goes to whoever asked; nothing of it is looked at here.
package checkrein.post_completion

decision := true
