# METADATA
# title: What the desk's rules share
package desk

import data.desk_config as config

tier := config.tiers[input.subject.properties.tier]

# Forbids what every rule of ours may permit: whoever is suspended gets nothing.
suspended if input.subject.properties.suspended

found contains finding.type if some finding in input.context.findings
