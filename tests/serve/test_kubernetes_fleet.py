"""The official client against a fake API server: paths, verbs, bodies; conflicts, refusals and silence."""

import asyncio
from dataclasses import replace

import pytest

kubernetes = pytest.importorskip("kubernetes", exc_type=ImportError)

from fake_kubernetes import FakeKubernetes  # noqa: E402

from tokenworks.errors import InputError  # noqa: E402
from tokenworks.serve.steer.fleet import Counts, FleetError  # noqa: E402
from tokenworks.serve.steer.kubernetes import MERGE, TRIES, KubernetesFleet, Resource, client_of  # noqa: E402

DEPLOYMENT = Resource("ai", "apps", "v1", "deployments", "chat")
PATH = "/apis/apps/v1/namespaces/ai/deployments/chat"
GRAPH = Resource(
    "ai",
    "nvidia.com",
    "v1alpha1",
    "dynamographdeployments",
    "r1",
    "spec.services.Decode.replicas",
    "status.decode.ready",
)


def client_for(server, token="secret"):
    settings = kubernetes.client.Configuration(host=server.url)
    settings.retries = False
    settings.api_key = {"BearerToken": token, "authorization": token}
    settings.api_key_prefix = {"BearerToken": "Bearer", "authorization": "Bearer"}
    return kubernetes.client.ApiClient(settings)


def with_fleet(server, of, work, token="secret"):
    async def main():
        fleet = KubernetesFleet({"chat": of}, client_for(server, token))
        try:
            return await work(fleet)
        finally:
            await fleet.close()

    return asyncio.run(asyncio.wait_for(main(), 30))


def deployment(wanted, ready):
    return FakeKubernetes(PATH, {"spec": {"replicas": wanted}, "status": {"readyReplicas": ready}})


def test_a_deployment_is_scaled_through_its_subresource():
    with deployment(2, 1) as server:
        assert with_fleet(server, DEPLOYMENT, lambda fleet: fleet.counts("chat")) == Counts(1, 1)
        with_fleet(server, DEPLOYMENT, lambda fleet: fleet.scale("chat", 5))
        assert server.body["spec"]["replicas"] == 5
        patch = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 5}}
        assert server.asked == [
            ("GET", PATH, "", None),
            ("GET", PATH + "/scale", "", None),
            ("PATCH", PATH + "/scale", MERGE, patch),
        ]


def test_nothing_is_patched_where_nothing_changes():
    with deployment(3, 3) as server:
        with_fleet(server, DEPLOYMENT, lambda fleet: fleet.scale("chat", 3))
        assert [verb for verb, *_ in server.asked] == ["GET"]


def test_to_zero_and_counts_that_kubernetes_leaves_out():
    with FakeKubernetes(PATH, {"spec": {"replicas": 1}, "status": {}}) as server:
        with_fleet(server, DEPLOYMENT, lambda fleet: fleet.scale("chat", 0))
        assert server.body["spec"]["replicas"] == 0
        assert with_fleet(server, DEPLOYMENT, lambda fleet: fleet.counts("chat")) == Counts(0, 0)


def test_a_field_of_a_custom_resource_is_patched_and_its_neighbours_stay():
    body = {
        "spec": {"services": {"Decode": {"replicas": 2, "image": "x"}, "Prefill": {"replicas": 1}}},
        "status": {"decode": {"ready": 2}},
    }
    with FakeKubernetes(GRAPH.path, body, scalable=False) as server:
        assert with_fleet(server, GRAPH, lambda fleet: fleet.counts("chat")) == Counts(2, 0)
        with_fleet(server, GRAPH, lambda fleet: fleet.scale("chat", 4))
        assert server.body["spec"]["services"] == {"Decode": {"replicas": 4, "image": "x"}, "Prefill": {"replicas": 1}}
        assert server.asked[-1][:3] == ("PATCH", GRAPH.path, MERGE)


def test_two_pools_in_one_resource_do_not_overwrite_each_other():
    """Two fields of one DynamoGraphDeployment, each under its own fleet."""
    body = {"spec": {"services": {"Decode": {"replicas": 2}, "Prefill": {"replicas": 1}}}}
    with FakeKubernetes(GRAPH.path, body, scalable=False) as server:
        server.conflicts = 1
        prefill = replace(GRAPH, field="spec.services.Prefill.replicas", ready_field="")
        with_fleet(server, GRAPH, lambda fleet: fleet.scale("chat", 4))
        with_fleet(server, prefill, lambda fleet: fleet.scale("chat", 3))
        assert server.body["spec"]["services"] == {"Decode": {"replicas": 4}, "Prefill": {"replicas": 3}}


def test_a_conflict_is_read_again_and_tried_again():
    with deployment(1, 1) as server:
        server.conflicts = TRIES - 1
        with_fleet(server, DEPLOYMENT, lambda fleet: fleet.scale("chat", 2))
        assert server.body["spec"]["replicas"] == 2
        assert [verb for verb, *_ in server.asked] == ["GET", "PATCH"] * TRIES


def test_conflicts_without_end_are_given_up():
    with deployment(1, 1) as server:
        server.conflicts = 100
        with pytest.raises(FleetError, match="409"):
            with_fleet(server, DEPLOYMENT, lambda fleet: fleet.scale("chat", 2))
        assert server.body["spec"]["replicas"] == 1
        assert len(server.asked) == 2 * TRIES


@pytest.mark.parametrize(
    ("status", "hint"), [(403, "may not do this"), (404, "check namespace"), (500, "500"), (503, "503")]
)
def test_a_refusal_says_what_to_look_at(status, hint):
    with deployment(1, 1) as server:
        server.fails = status
        with pytest.raises(FleetError, match=hint):
            with_fleet(server, DEPLOYMENT, lambda fleet: fleet.scale("chat", 2))


def test_wrong_credentials_are_named_and_not_shown():
    with deployment(1, 1) as server:
        with pytest.raises(FleetError, match="credentials are not accepted") as told:
            with_fleet(server, DEPLOYMENT, lambda fleet: fleet.counts("chat"), token="t0ps3cret")
        assert "t0ps3cret" not in str(told.value)


def test_a_server_that_is_gone():
    with deployment(1, 1) as server:
        pass
    with pytest.raises(FleetError, match="does not answer"):
        with_fleet(server, DEPLOYMENT, lambda fleet: fleet.counts("chat"))


def test_a_field_that_is_no_number():
    many = FakeKubernetes(PATH, {"spec": {"replicas": "many"}, "status": {}})
    with many as server, pytest.raises(FleetError, match="not a number"):
        with_fleet(server, DEPLOYMENT, lambda fleet: fleet.counts("chat"))


def test_no_cluster_is_an_input_error(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InputError, match="no access to Kubernetes"):
        client_of("nowhere")
