{{- define "pushhub.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "pushhub.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "pushhub.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pushhub.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pushhub.selector" -}}
app.kubernetes.io/name: {{ include "pushhub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "pushhub.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "pushhub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "pushhub.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "pushhub.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "pushhub.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "pushhub.secret" -}}
{{- .Values.secrets.existingSecret | default (include "pushhub.fullname" .) -}}
{{- end -}}

{{- define "pushhub.replicas" -}}
{{- if not (kindIs "invalid" .Values.replicas) -}}{{ int .Values.replicas }}
{{- else if eq .Values.store.kind "redis" -}}2
{{- else -}}1
{{- end -}}
{{- end -}}

{{- /* The pods that run at least. */ -}}
{{- define "pushhub.least" -}}
{{- if .Values.autoscaling.enabled -}}{{ int .Values.autoscaling.minReplicas }}
{{- else -}}{{ include "pushhub.replicas" . }}
{{- end -}}
{{- end -}}

{{- /* pre-stop + drain_delay + drain_seconds + 15 s for connections that end after their last response. */ -}}
{{- define "pushhub.grace" -}}
{{- $drain := addf (float64 .Values.config.drain_delay) (float64 .Values.config.drain_seconds) -}}
{{- add (int .Values.preStopSeconds) (int (ceil $drain)) 15 -}}
{{- end -}}

{{- /* The path prefix of the hub's own routes: with an origin, all other paths belong to it. */ -}}
{{- define "pushhub.prefix" -}}
{{- if or .Values.config.origin .Values.config.routes -}}
{{- .Values.config.prefix | default "/_pushhub" -}}
{{- end -}}
{{- end -}}

{{- /* A value as TOML: texts, numbers and booleans are written as in JSON. */ -}}
{{- define "pushhub.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $pairs = append $pairs (printf "%s = %s" (toJson $key) (include "pushhub.value" $value)) -}}
{{- end -}}
{{- end -}}
{ {{- join ", " $pairs -}} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}{{- $items = append $items (include "pushhub.value" .) -}}{{- end -}}
[{{ join ", " $items }}]
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{- define "pushhub.store" -}}
{{- if eq .Values.store.kind "redis" -}}{{ .Values.store.url }}
{{- else if eq .Values.store.kind "sqlite" -}}sqlite:////var/lib/pushhub/pushhub.db
{{- else -}}memory://
{{- end -}}
{{- end -}}

{{- /* The whole of pushhub.toml. */ -}}
{{- define "pushhub.toml" -}}
{{- $control := printf "%s-control" (include "pushhub.fullname" .) -}}
{{- $inside := printf "%s.%s" $control .Release.Namespace -}}
{{- $hosts := list $control $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) -}}
{{- $own := dict "host" "0.0.0.0" "port" 8080 "control" (printf "0.0.0.0:%d" (int .Values.control.port)) -}}
{{- $_ := set $own "control_hosts" (concat $hosts (.Values.config.control_hosts | default list) | uniq) -}}
{{- if not (has "store" .Values.secrets.keys) -}}
{{- $_ := set $own "store" (include "pushhub.store" .) -}}
{{- end -}}
{{- range $name, $value := merge $own .Values.config -}}
{{- if not (kindIs "invalid" $value) -}}
{{ $name }} = {{ include "pushhub.value" $value }}
{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Contradictions that a schema cannot name in one sentence. */ -}}
{{- define "pushhub.validate" -}}
{{- $kind := .Values.store.kind -}}
{{- $secret := has "store" .Values.secrets.keys -}}
{{- if ne $kind "redis" -}}
  {{- if .Values.store.url -}}
    {{- fail (printf "store.url is for store.kind redis; with %s leave it empty." $kind) -}}
  {{- end -}}
  {{- if $secret -}}
    {{- fail (printf "The key store in secrets.keys is for store.kind redis, not for %s." $kind) -}}
  {{- end -}}
  {{- if .Values.autoscaling.enabled -}}
    {{- fail (printf "Autoscaling needs a store that pods share: set store.kind to redis, not %s." $kind) -}}
  {{- end -}}
  {{- if ne (include "pushhub.replicas" .) "1" -}}
    {{- fail (printf "More than one pod needs a store that pods share: set store.kind to redis, or replicas to 1 with %s." $kind) -}}
  {{- end -}}
  {{- if gt (int (.Values.config.workers | default 1)) 1 -}}
    {{- fail (printf "More than one worker needs store.kind redis; with %s leave config.workers at 1." $kind) -}}
  {{- end -}}
{{- else if and $secret .Values.store.url -}}
  {{- fail "The store has two addresses: leave store.url empty, or take the key store out of secrets.keys." -}}
{{- else if not (or $secret .Values.store.url) -}}
  {{- fail "store.kind redis needs an address: set store.url, such as redis://valkey:6379/0, or name the key store in secrets.keys." -}}
{{- else if regexMatch "^[^:]+://[^/]*@" .Values.store.url -}}
  {{- fail "store.url has a user or a password, and a ConfigMap is no secret: put the URL into the Secret, and name the key store in secrets.keys." -}}
{{- end -}}
{{- if not (has "api_keys" .Values.secrets.keys) -}}
  {{- fail "A hub does not start without an API key: put api_keys into the Secret, and name the key api_keys in secrets.keys." -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
  {{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas." -}}
{{- end -}}
{{- if eq (int .Values.control.port) 8080 -}}
  {{- fail "control.port is 8080, the port of the public listener in the pod; choose another." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
  {{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway that the route belongs to." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
  {{- fail "ingress.enabled needs ingress.hosts." -}}
{{- end -}}
{{- if and (ne .Values.monitor.kind "none") (not .Values.monitor.keySecret.name) (not .Values.config.metrics_public) -}}
  {{- fail "The metrics need a credential: set monitor.keySecret.name to a Secret with an API key that manages \"*\", or config.metrics_public." -}}
{{- end -}}
{{- end -}}
