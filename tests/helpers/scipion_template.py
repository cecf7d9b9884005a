# SPDX-License-Identifier: GPL-3.0-or-later
"""Workflow templates of the plugin, loaded as Scipion does it."""

import os

from pyworkflow.template import TemplateList


def load_template(project, name, values):
    """Fill in a template as `scipion template` does, and give its protocols in order."""
    found = TemplateList()
    found.addPluginTemplates(name)
    (template,) = found.templates
    template.replaceEnvVariables()
    template.parseContent()
    for alias, value in values.items():
        assert template.setParamValue(alias, str(value)) >= 1
    os.chdir(project.path)
    loaded = project.project.loadProtocols(template.createTemplateFile())
    return list(loaded.values())
