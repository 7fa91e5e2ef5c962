"""JSON Schemas of the custom kinds, of all their fields that a manifest may have; an unknown field is an error.

KubeRay's after its API reference of 1.7 (https://docs.ray.io/en/master/kuberay/references/api.html), the Gateway API's
after its version 1 (https://gateway-api.sigs.k8s.io/reference/spec/), prometheus-operator's after
https://prometheus-operator.dev/docs/api-reference/api/: of those, the fields in use. Pod templates and
Services in them are validated as what they are.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANY_OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def _object(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def _kind(api_version: str, kind: str, spec: Schema) -> Schema:
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=ANY_OBJECT,
        spec=spec,
    )


_CREDENTIAL = _object(valueFrom=ANY_OBJECT, value=TEXT)
_CLUSTER = _object(
    ("headGroupSpec", "rayVersion"),
    upgradeStrategy=_object(type=_one_of("Recreate", "None")),
    authOptions=_object(enableK8sTokenAuth=FLAG, secretName=TEXT, mode=_one_of("disabled", "token")),
    suspend=FLAG,
    managedBy=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=_object(
        resources=ANY_OBJECT,
        image=TEXT,
        imagePullPolicy=TEXT,
        securityContext=ANY_OBJECT,
        idleTimeoutSeconds=COUNT,
        upscalingMode=_one_of("Default", "Aggressive", "Conservative"),
        version=_one_of("v1", "v2"),
        env=_list(ANY_OBJECT),
        envFrom=_list(ANY_OBJECT),
        volumeMounts=_list(ANY_OBJECT),
        command=_list(TEXT),
        args=_list(TEXT),
    ),
    headServiceAnnotations=TEXTS,
    gcsFaultToleranceOptions=_object(
        ("redisAddress",),
        backend=_one_of("redis", "rocksdb"),
        redisUsername=_CREDENTIAL,
        redisPassword=_CREDENTIAL,
        externalStorageNamespace=TEXT,
        redisAddress=TEXT,
    ),
    networkPolicy=ANY_OBJECT,
    tlsOptions=_object(enabled=FLAG),
    headGroupSpec=_object(
        ("rayStartParams", "template"),
        template=ANY_OBJECT,
        headService=ANY_OBJECT,
        enableIngress=FLAG,
        ingressOptions=ANY_OBJECT,
        resources=TEXTS,
        labels=TEXTS,
        rayStartParams=TEXTS,
        serviceType=TEXT,
    ),
    rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
    workerGroupSpecs=_list(
        _object(
            ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
            suspend=FLAG,
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            idleTimeoutSeconds=COUNT,
            priority=COUNT,
            resources=TEXTS,
            labels=TEXTS,
            rayStartParams=TEXTS,
            template=ANY_OBJECT,
            scaleStrategy=ANY_OBJECT,
            numOfHosts=COUNT,
        )
    ),
)
_RAY_SERVICE = _object(
    ("serveConfigV2", "rayClusterConfig"),
    rayClusterDeletionDelaySeconds=COUNT,
    serveService=ANY_OBJECT,
    upgradeStrategy=_object(
        type=_one_of("NewCluster", "NewClusterWithIncrementalUpgrade", "None"),
        clusterUpgradeOptions=_object(
            maxSurgePercent=COUNT, stepSizePercent=COUNT, intervalSeconds=COUNT, gatewayClassName=TEXT
        ),
    ),
    managedBy=TEXT,
    serveConfigV2=TEXT,
    rayClusterConfig=_CLUSTER,
    excludeHeadPodFromServeSvc=FLAG,
    suspend=FLAG,
)
_RAY_JOB = _object(
    ("entrypoint", "rayClusterSpec"),
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=_CLUSTER,
    submitterPodTemplate=ANY_OBJECT,
    metadata=TEXTS,
    clusterSelector=TEXTS,
    submitterConfig=_object(backoffLimit=COUNT),
    managedBy=TEXT,
    deletionStrategy=ANY_OBJECT,
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    submissionMode=_one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=TEXT,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=COUNT,
    preRunningDeadlineSeconds=COUNT,
    shutdownAfterJobFinishes=FLAG,
    suspend=FLAG,
)

_PARENTS = _list(_object(("name",), name=TEXT, namespace=TEXT, sectionName=TEXT))
_BACKENDS = _list(_object(("name", "port"), name=TEXT, port=COUNT, weight=COUNT))
_GATEWAY = _object(
    ("gatewayClassName", "listeners"),
    gatewayClassName=TEXT,
    listeners=_list(
        _object(
            ("name", "port", "protocol"),
            name=TEXT,
            hostname=TEXT,
            port=COUNT,
            protocol=_one_of("HTTP", "HTTPS", "TLS", "TCP", "UDP"),
            tls=_object(
                mode=_one_of("Terminate", "Passthrough"),
                certificateRefs=_list(_object(("name",), group=TEXT, kind=TEXT, name=TEXT, namespace=TEXT)),
            ),
            allowedRoutes=_object(namespaces=_object(**{"from": _one_of("All", "Same", "Selector")})),
        )
    ),
)
_PATH_MATCH = _object(("type", "value"), type=_one_of("Exact", "PathPrefix", "RegularExpression"), value=TEXT)


def _route(match: Schema) -> Schema:
    rules = _list(_object(("backendRefs",), matches=_list(match), backendRefs=_BACKENDS))
    return _object(("parentRefs", "rules"), parentRefs=_PARENTS, hostnames=_list(TEXT), rules=rules)


_DURATION: Schema = {"type": "string", "pattern": r"^\d+[smhd]$"}
_POD_MONITOR = _object(
    ("selector", "podMetricsEndpoints"),
    jobLabel=TEXT,
    selector=_object(matchLabels=TEXTS),
    podMetricsEndpoints=_list(_object(("port",), port=TEXT, path=TEXT, interval=_DURATION)),
)
_RULE = _object(("expr",), record=TEXT, alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS, **{"for": _DURATION})
_PROMETHEUS_RULE = _object(
    ("groups",),
    groups=_list(
        _object(
            ("name", "rules"),
            name=TEXT,
            interval=_DURATION,
            rules=_list({**_RULE, "oneOf": [{"required": ["record"]}, {"required": ["alert"]}]}),
        )
    ),
)
_API = "gateway.networking.k8s.io/v1"
SCHEMAS: dict[str, Schema] = {
    "RayService": _kind("ray.io/v1", "RayService", _RAY_SERVICE),
    "RayJob": _kind("ray.io/v1", "RayJob", _RAY_JOB),
    "PodMonitor": _kind("monitoring.coreos.com/v1", "PodMonitor", _POD_MONITOR),
    "PrometheusRule": _kind("monitoring.coreos.com/v1", "PrometheusRule", _PROMETHEUS_RULE),
    "Gateway": _kind(_API, "Gateway", _GATEWAY),
    "HTTPRoute": _kind(_API, "HTTPRoute", _route(_object(path=_PATH_MATCH))),
}
