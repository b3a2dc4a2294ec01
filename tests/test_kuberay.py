"""The manifest for Kubernetes is one that Kubernetes and KubeRay take, and keeps what docs say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_repository import ROOT, pins

jsonschema = pytest.importorskip("jsonschema")
kubernetes_validate = pytest.importorskip("kubernetes_validate")
yaml = pytest.importorskip("yaml")

KUBERNETES = "1.34"
RAY_CLUSTER = json.loads((Path(__file__).parent / "data" / "raycluster.json").read_text())
MANIFEST = [*yaml.safe_load_all((ROOT / "docs" / "kuberay.yaml").read_text("utf-8"))]


def templates(cluster: Any) -> list[Any]:
    """Return the pods of a cluster, the head's first."""
    spec = cluster["spec"]
    return [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def check(manifest: list[Any]) -> None:
    """Raise `jsonschema.ValidationError` unless Kubernetes and KubeRay would take a manifest."""
    for part in manifest:
        if part.get("kind") != "RayCluster":
            kubernetes_validate.validate(part, KUBERNETES, strict=True)
            continue
        jsonschema.validate(part, RAY_CLUSTER)
        for template in templates(part):
            alone = {"apiVersion": "v1", "kind": "PodTemplate", "template": template}
            kubernetes_validate.validate(alone, KUBERNETES, strict=True)


def cluster_of(manifest: list[Any]) -> Any:
    (cluster,) = (part for part in manifest if part["kind"] == "RayCluster")
    return cluster


def test_the_schema_for_clusters_is_a_schema_and_strict():
    jsonschema.Draft202012Validator.check_schema(RAY_CLUSTER)

    def objects(schema: Any) -> Any:
        if isinstance(schema, dict):
            if "properties" in schema:
                yield schema
            for part in schema.values():
                yield from objects(part)

    assert all(part["additionalProperties"] is False for part in objects(RAY_CLUSTER))


def test_kubernetes_and_kuberay_take_the_manifest():
    check(MANIFEST)


BREAKS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "a misspelt field of the cluster": (("spec", "workerGroupSpec"), []),
    "a misspelt field of its authentication": (("spec", "authOptions", "modus"), "token"),
    "an unknown way to authenticate": (("spec", "authOptions", "mode"), "password"),
    "a misspelt field of the head": (("spec", "headGroupSpec", "rayStartParam"), {}),
    "a number where Ray's options are texts": (
        ("spec", "headGroupSpec", "rayStartParams", "num-cpus"),
        0,
    ),
    "a misspelt field of the workers": (("spec", "workerGroupSpecs", 0, "replica"), 2),
    "a text where the number of workers is": (("spec", "workerGroupSpecs", 0, "replicas"), "2"),
    "a misspelt field of a container": (
        ("spec", "headGroupSpec", "template", "spec", "containers", 0, "imagePullPolice"),
        "Always",
    ),
    "a misspelt field of a worker's resources": (
        ("spec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "resources", "limit"),
        {"cpu": "4"},
    ),
    "an environment variable that is no text": (
        ("spec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "env", 0, "value"),
        0,
    ),
    "a port that is no number": (
        ("spec", "headGroupSpec", "template", "spec", "containers", 0, "ports", 0, "containerPort"),
        "6379",
    ),
    "another version of KubeRay's interface": (("apiVersion",), "ray.io/v1alpha1"),
}


@pytest.mark.parametrize(("place", "value"), BREAKS.values(), ids=BREAKS)
def test_a_mistake_in_the_cluster_is_found(place, value):
    manifest = copy.deepcopy(MANIFEST)
    part = cluster_of(manifest)
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(manifest)


@pytest.mark.parametrize("kind", ["NetworkPolicy", "PersistentVolumeClaim"])
def test_a_misspelt_field_of_the_other_parts_is_found(kind):
    manifest = copy.deepcopy(MANIFEST)
    (part,) = (part for part in manifest if part["kind"] == kind)
    part["spec"]["selectors"] = {}
    with pytest.raises(jsonschema.ValidationError):
        check(manifest)


def test_all_pods_have_one_image_and_the_tested_version_of_ray():
    cluster = cluster_of(MANIFEST)
    containers = [pod["spec"]["containers"][0] for pod in templates(cluster)]
    assert len({container["image"] for container in containers}) == 1
    assert f"=={cluster['spec']['rayVersion']}" == str(pins()["ray"].specifier)
    for container in containers:
        values = {variable["name"]: variable["value"] for variable in container["env"]}
        assert values == {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_nobody_else_reaches_the_cluster_and_it_asks_for_a_token():
    cluster = cluster_of(MANIFEST)
    (policy,) = (part for part in MANIFEST if part["kind"] == "NetworkPolicy")
    ours = {"matchLabels": {"ray.io/cluster": cluster["metadata"]["name"]}}
    assert policy["spec"]["podSelector"] == ours
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": ours}]}]
    assert cluster["spec"]["authOptions"] == {"mode": "token"}


def test_what_the_head_writes_outlives_its_pod():
    head, *_ = templates(cluster_of(MANIFEST))
    (claim,) = (part for part in MANIFEST if part["kind"] == "PersistentVolumeClaim")
    (volume,) = head["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    (mount,) = head["spec"]["containers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/mario_a3c/logs"}
