{{/*
The name of all objects in the namespace of the release. It is "configmapsync" for a release of
that name, "<release>-configmapsync" for others, truncated to 63 characters.
*/}}
{{- define "configmapsync.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The name of all cluster-scoped objects. It is "configmapsync" for a release of that name in any
namespace, so that Helm rejects a second one; "<namespace>:<full name>" for others. Namespaces cannot
contain a colon, so the names cannot collide.
*/}}
{{- define "configmapsync.clusterName" -}}
{{- if eq .Release.Name .Chart.Name -}}
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
immutable.
*/}}
{{- define "configmapsync.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
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
{{- end -}}

{{- define "configmapsync.uninstallName" -}}
{{- printf "%s-uninstall" (include "configmapsync.fullname" . | trunc 53 | trimSuffix "-") -}}
{{- end -}}

{{/*
The labels of the uninstall Job and its permissions. They must not match the selector of the
operator's pods: the Job waits until those have terminated.
*/}}
{{- define "configmapsync.uninstallLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-uninstall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: uninstall
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
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

{{- define "configmapsync.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
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
