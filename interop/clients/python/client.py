"""Calls AWS KMS with boto3 as the tests ask it to: a question and an answer a line, in JSON. Bytes are base64, times are seconds."""

import base64
import datetime
import json
import sys

import boto3
from botocore.exceptions import ClientError

clients = {}


def client(question):
    name = (question["region"], question["id"], question["secret"])
    if name not in clients:
        region, key, secret = name
        options = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        # botocore 1.31 and newer find the endpoint in the environment by themselves.
        clients[name] = boto3.client("kms", region_name=region, endpoint_url=question["endpoint"], **options)
    return clients[name]


def plain(value):
    """Returns a value of boto3 as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "ResponseMetadata"}
    return value


def known(model):
    """Names the operations of a model, and the members of their inputs."""
    for op in model.operation_names:
        yield op
        shape = model.operation_model(op).input_shape
        yield from (f"{op}.{member}" for member in (shape.members if shape else ()))


def answer(question):
    kms = client(question)
    if question["do"] == "knows":
        return {"knows": list(known(kms.meta.service_model)), "version": boto3.__version__}
    methods = {op: method for method, op in kms.meta.method_to_api_mapping.items()}
    method = methods[question["op"]]
    given = dict(question.get("in") or {})
    for name in question.get("blobs") or ():
        given[name] = base64.b64decode(given[name])
    try:
        if question["do"] == "pages":
            if not kms.can_paginate(method):
                return {"unpaged": True}
            pages = kms.get_paginator(method).paginate(PaginationConfig={"PageSize": question["size"]}, **given)
            return {"pages": [plain(page) for page in pages]}
        out = getattr(kms, method)(**given)
        return {"out": plain(out), "id": out["ResponseMetadata"]["RequestId"]}
    except ClientError as e:
        error, about = e.response["Error"], e.response["ResponseMetadata"]
        refusal = {"code": error["Code"], "message": error.get("Message", ""), "class": type(e).__name__}
        return {"refusal": {**refusal, "status": about["HTTPStatusCode"], "id": about.get("RequestId", "")}}


for line in sys.stdin:
    try:
        said = answer(json.loads(line))
    except Exception as e:  # whatever it is, the test tells it
        said = {"trouble": f"{type(e).__name__}: {e}"}
    print(json.dumps(said), flush=True)
