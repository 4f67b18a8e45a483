"""Counts the resources of the stack after SAM's transform. CloudFormation shows and rolls back a small stack better; nested stacks
hold what comes in rows."""

import logging
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

MAX_RESOURCES = 99

logging.disable(logging.WARNING)
with open("template.yaml", encoding="utf-8") as file:
    template = yaml_parse(file.read())
# What `sam package` would upload.
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
for resource in template["Resources"].values():
    properties = resource.get("Properties", {})
    if resource["Type"] == "AWS::Serverless::Application":
        properties["Location"] = "https://s3.amazonaws.com/bucket/key"
    if resource["Type"] == "AWS::Serverless::Api":
        properties["DefinitionBody"] = {"swagger": "2.0", "paths": {}}
count = len(Translator({}, Parser()).translate(template, {})["Resources"])
print(f"{count} resources after the transform")
sys.exit(0 if count <= MAX_RESOURCES else f"more than {MAX_RESOURCES}")
