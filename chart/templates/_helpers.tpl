{{/*
The name of all objects in the namespace of the release: fullnameOverride, or "configmapsync" for a
release of that name, "<release>-configmapsync" for others, truncated to 63 characters. The name of the
chart is not used: as a dependency with an alias, it is the alias.
*/}}
{{- define "configmapsync.fullname" -}}
{{- $name := default "configmapsync" .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The name of all cluster-scoped objects. It is "configmapsync" for a release of that name in any
namespace, so that Helm rejects a second one; "<namespace>:<full name>" for others. Namespaces cannot
contain a colon, so the names cannot collide.
*/}}
{{- define "configmapsync.clusterName" -}}
{{- if and (eq .Release.Name "configmapsync") (eq (include "configmapsync.fullname" .) "configmapsync") -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s:%s" .Release.Namespace (include "configmapsync.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "configmapsync.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "configmapsync.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
The labels that select the pods. They exclude the version: the selector of a Deployment is
immutable. `configmapsync check` and `configmapsync uninstall` find what belongs to the operator by the
first one.
*/}}
{{- define "configmapsync.selectorLabels" -}}
app.kubernetes.io/name: configmapsync
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/*
The labels of all objects. "app.kubernetes.io/managed-by" is excluded: Helm adds it on install, and
the manifests in deploy/, which are rendered from these templates, are not managed by Helm.
*/}}
{{- define "configmapsync.labels" -}}
{{ include "configmapsync.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "configmapsync.uninstallName" -}}
{{- printf "%s-uninstall" (include "configmapsync.fullname" . | trunc 53 | trimSuffix "-") -}}
{{- end -}}

{{/*
The labels of the uninstall Job and its permissions. They must not match the selector of the
operator's pods: the Job waits until those have terminated.
*/}}
{{- define "configmapsync.uninstallLabels" -}}
app.kubernetes.io/name: configmapsync-uninstall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: uninstall
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The annotations of a pre-delete hook that Helm deletes after success. Takes the hook weight: Helm
creates objects with a lower weight first.
*/}}
{{- define "configmapsync.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/*
The image. The registry of a parent chart is put in front of a repository without one: as in the reference
of an image, the first part is a registry if it has a dot or a port, or is localhost.
*/}}
{{- define "configmapsync.image" -}}
{{- $registry := default "" (get (default dict .Values.global) "imageRegistry") | trimSuffix "/" -}}
{{- $repository := .Values.image.repository -}}
{{- $parts := splitList "/" $repository -}}
{{- $hasRegistry := and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{- if and $registry (not $hasRegistry) -}}
{{- $repository = printf "%s/%s" $registry $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/*
What the pods of the operator and of the uninstall Job have in common: secrets for the image, DNS, and
where they may run. The image has no variant for Windows.
*/}}
{{- define "configmapsync.podSettings" -}}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") (default dict .Values.nodeSelector) | toYaml | nindent 2 }}
{{- $secrets := list }}
{{- range default list (get (default dict .Values.global) "imagePullSecrets") }}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- with concat $secrets (default list .Values.imagePullSecrets) | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
A duration in seconds. Takes what values.schema.json accepts: an integer with the unit s, m or h.
*/}}
{{- define "configmapsync.seconds" -}}
{{- $factors := dict "s" 1 "m" 60 "h" 3600 -}}
{{- mul (regexFind "^[0-9]+" .) (get $factors (regexFind "[smh]$" .)) -}}
{{- end -}}

{{/*
The port of otlp.endpoint: as in the URL, or that of its scheme. Takes the values otlp.
*/}}
{{- define "configmapsync.collectorPort" -}}
{{- $url := urlParse .endpoint -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "443" "80" (eq $url.scheme "https")) $port -}}
{{- end -}}

{{/*
The content of a generated file. Rendering fails if the file is missing; otherwise the operator
would be installed without permissions. Takes a list: the root context and the path in the chart.
*/}}
{{- define "configmapsync.generated" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
{{- $root.Files.Get $path | required (printf "%s is missing from the chart: generate it with `configmapsync manifests --write .`" $path) | trim -}}
{{- end -}}

{{/*
Not empty if the cluster serves ValidatingAdmissionPolicies. Without a cluster ("helm template"),
Helm knows API versions but no kinds; the policies are then rendered, since every supported version
of Kubernetes serves them by default.
*/}}
{{- define "configmapsync.servesPolicies" -}}
{{- $served := .Capabilities.APIVersions -}}
{{- if or ($served.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") (not ($served.Has "v1/ConfigMap")) -}}
true
{{- end -}}
{{- end -}}
